"""The job's standard input: takes bytes from peers in order, and gives them to the job as fast as it reads them.

Knows nothing about terminals beyond the byte that means end of file there.
"""

import os

from bgjobd.runner import system
from bgjobd.runner.control_server import Connection, Request
from bgjobd.runner.loop import WRITABLE, Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# After these nothing stands on the line of a terminal: its end, and what discards it.
_LINE_IS_EMPTY = b"\r\n\x03\x04\x15\x1c"
_MAX_QUEUED_BYTES = 4 << 20  # of all peers together; more is refused with the error `full`


class _Entry:
    """Bytes to be written, or with `ends` the end of the input."""

    __slots__ = ("accepted", "data", "ends", "request")

    def __init__(self, request: Request, data: bytes, *, ends: bool = False) -> None:
        self.request = request
        self.data = memoryview(data)
        self.accepted = 0
        self.ends = ends


class StandardInput:
    """A pipe's write end, or a duplicate of a terminal's master, written without ever blocking the runner.

    Args:
        loop: where to wait.
        fd: non-blocking, closed here; -1 when the input is a file and there is nothing to write to.
        on_close: called once when nothing can be written any more.
        end_of_file: returns what is typed to end the input of a terminal, given whether something stands on the line;
            None for a pipe, which is closed instead.
    """

    __slots__ = ("_end_of_file", "_fd", "_in_line", "_loop", "_on_close", "_queue", "_queued_bytes")

    def __init__(
        self,
        loop: Loop,
        fd: int,
        on_close: "Callable[[], None]",
        end_of_file: "Callable[[bool], bytes] | None" = None,
    ) -> None:
        self._loop = loop
        self._fd = fd
        self._end_of_file = end_of_file
        self._on_close = on_close
        self._in_line = False
        self._queue: list[_Entry] = []
        self._queued_bytes = 0
        if fd >= 0:
            loop.watch(fd, 0, self._ready)  # only its hang-up: the job closed its end

    @property
    def is_open(self) -> bool:
        """Whether the job may still get something."""
        return self._fd >= 0

    @property
    def has_unread(self) -> bool:
        """Whether there is input that the job has not read; of a terminal only what it had no room for is known."""
        return bool(self._queue) or (self._end_of_file is None and system.waiting_bytes(self._fd) > 0)

    def identity(self) -> tuple[int, int]:
        """Return st_dev and st_ino of the pipe: the same at both of its ends."""
        found = os.fstat(self._fd)
        return found.st_dev, found.st_ino

    def add(self, request: Request) -> None:
        """Queue the bytes of an INPUT; answered with `accepted` once all of them are in the pipe."""
        size = len(request.payload)
        if not self.is_open or self._is_ending():
            request.fail("closed", ("accepted", 0))
        elif self._queued_bytes + size > _MAX_QUEUED_BYTES:
            request.fail("full", ("accepted", 0))
        else:
            self._queued_bytes += size
            self._queue.append(_Entry(request, request.payload))
            self._write()

    def end(self, request: Request) -> None:
        """Queue the end; answered once earlier bytes are in the pipe. Ending what has ended is not an error."""
        if not self.is_open:
            request.reply()
            return
        self._queue.append(_Entry(request, b"", ends=True))
        self._write()

    def cancel(self, connection: Connection, sequence: int) -> None:
        """Take an INPUT out of the queue; it is answered with what was accepted so far."""
        for entry in self._queue:
            if entry.request.connection is connection and entry.request.sequence == sequence and not entry.ends:
                self._take_out(entry)
                entry.request.reply(("accepted", entry.accepted))
                return

    def forget(self, connection: Connection) -> None:
        """Drop what a lost peer had queued: it would not know how much of it was taken."""
        for entry in [entry for entry in self._queue if entry.request.connection is connection]:
            self._take_out(entry)

    def close(self) -> None:
        """Refuse everything that is queued, and close the pipe. A second call does nothing."""
        if not self.is_open:
            return
        fd, self._fd = self._fd, -1
        self._loop.forget(fd)
        os.close(fd)
        queue, self._queue, self._queued_bytes = self._queue, [], 0
        for entry in queue:
            if entry.ends:
                entry.request.reply()
            else:
                entry.request.fail("closed", ("accepted", entry.accepted))
        self._on_close()

    def _is_ending(self) -> bool:
        return self._end_of_file is None and any(entry.ends for entry in self._queue)

    def _take_out(self, entry: _Entry) -> None:
        self._queue.remove(entry)
        self._queued_bytes -= 0 if entry.ends else len(entry.data)
        self._wait()

    def _ready(self, events: int) -> None:
        if events & ~WRITABLE:
            self.close()  # POLLERR: nobody has the read end any more
        else:
            self._write()

    def _write(self) -> None:
        """Write as much as fits, in order."""
        while self._queue and self.is_open:
            entry = self._queue[0]
            if entry.ends and self._end_of_file is not None and not entry.data and not entry.accepted:
                entry.data = memoryview(self._end_of_file(self._in_line))
            try:
                written = os.write(self._fd, entry.data) if entry.data else 0
            except BlockingIOError:
                break
            except OSError:  # EPIPE: the job closed it; EIO: the terminal is gone
                self.close()
                return
            if written:
                self._in_line = entry.data[written - 1] not in _LINE_IS_EMPTY and not entry.ends
            entry.data = entry.data[written:]
            entry.accepted += written
            if not entry.ends:
                self._queued_bytes -= written
            if not entry.data:
                self._finish(entry)
        self._wait()

    def _finish(self, entry: _Entry) -> None:
        self._queue.pop(0)
        if entry.ends:
            entry.request.reply()
            if self._end_of_file is None:
                self.close()
        else:
            entry.request.reply(("accepted", entry.accepted))

    def _wait(self) -> None:
        """Ask for a wake-up only while there is something to write."""
        if self.is_open:
            self._loop.watch(self._fd, WRITABLE if self._queue else 0, self._ready)
