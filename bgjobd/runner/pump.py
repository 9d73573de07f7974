"""Moves what a job writes into its log, byte for byte. Never decides when the job is over.

With splice a byte is always either in the pipe or in the log: neither SIGKILL of the runner nor a full disk loses one.
The portable twin reads into one buffer and writes that out; a chunk of it is at risk only when the runner is killed.
"""

import errno
import os
import time

from bgjobd.runner import system
from bgjobd.runner.logfile import LogWriter
from bgjobd.runner.loop import READABLE, Loop, poll_now
from bgjobd.runner.pace import Pace

_CHUNK_BYTES = 1 << 20
_COPY_BYTES = 256 << 10  # measured: readv into one preallocated buffer of this size is the fastest portable way
_FIRST_RETRY_S = 0.1
_LONGEST_RETRY_S = 2.0
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_NOTHING = memoryview(b"")


class Source:
    """One stream of the job: a pipe's read end, or a terminal's master."""

    __slots__ = ("fd", "kind", "pace", "pump")

    pump: "Pump"  # that moves it

    def __init__(self, fd: int, kind: int) -> None:
        self.fd = fd
        self.kind = kind
        self.pace = Pace()

    def waiting(self) -> int:
        """Return how many bytes there are to move now, at most."""
        return system.waiting_bytes(self.fd)

    def splice(self, target: int, count: int) -> int:
        """Move up to `count` bytes to a file without ever holding them; 0 at the end. Raises as `system.splice`."""
        return system.splice(self.fd, target, count)

    def read_into(self, buffer: memoryview) -> int:
        """Read what is there, 0 at the end.

        Raises:
            BlockingIOError: there is nothing.
        """
        try:
            return os.readv(self.fd, [buffer])
        except BlockingIOError:
            raise
        except OSError:
            return 0  # EIO: the other side of a terminal is gone

    def ready(self, events: int) -> None:
        """For the loop: there is something to move, or an end."""
        self.pump.ready(self, events)

    def close(self) -> None:
        """Let go of it."""
        os.close(self.fd)


class Pump:
    """Moves every source into the log until it ends.

    Args:
        loop: where to wait.
        log: an open log.
        sources: what to read; each fd is non-blocking and is closed here.
        floor_bytes: with less free disk than this the log is shrunk to its head and its newest segment.
    """

    __slots__ = (
        "_buffer",
        "_copies",
        "_floor_bytes",
        "_log",
        "_loop",
        "_pending",
        "_pending_kind",
        "_retry_s",
        "blocked",
        "last_output",
        "sources",
    )

    def __init__(self, loop: Loop, log: LogWriter, sources: list[Source], floor_bytes: int) -> None:
        self.blocked = ""  # why nothing can be written at the moment: "disk full", or the error in words
        self.last_output = time.monotonic()
        self.sources = sources
        self._loop = loop
        self._log = log
        self._floor_bytes = floor_bytes
        self._retry_s = _FIRST_RETRY_S
        self._copies = not system.LINUX
        self._buffer: bytearray | None = None  # made when first needed
        self._pending = _NOTHING  # read, but not yet written; only in the portable twin
        self._pending_kind = 0

    def start(self) -> None:
        """Begin to move."""
        for source in self.sources:
            source.pump = self
            self._watch(source)

    def drain(self) -> bool:
        """Move what is in the sources now, and no more: somebody else may go on writing for ever.

        Returns:
            Whether that worked; False while `blocked`, the rest follows by itself.
        """
        if self._pending and not self._try_pending():
            return False
        for source in list(self.sources):
            self._drain_source(source)
        return not self.blocked

    def close(self) -> None:
        """Let go of the sources."""
        self._loop.stop_timer("disk")
        for source in self.sources:
            self._loop.forget(source.fd)
            source.close()
        self.sources = []

    def _watch(self, source: Source) -> None:
        self._loop.watch(source.fd, READABLE, source.ready)

    def ready(self, source: Source, events: int) -> None:
        """Move one chunk; the other sources get their turn in between."""
        if not events & READABLE:
            self._ended(source)  # a hang-up and nothing to read
            return
        if not any(other.pace.is_active() for other in self.sources if other is not source):
            source.pace.nap()
        moved = self._try_move(source, _CHUNK_BYTES)
        if moved:
            source.pace.moved(moved)

    def _drain_source(self, source: Source) -> None:
        """Move as much as is waiting; then see whether that was all there will ever be."""
        waiting = source.waiting()
        while waiting > 0:
            moved = self._try_move(source, min(waiting, _CHUNK_BYTES))
            if not moved:
                return
            waiting -= moved
        events = poll_now(source.fd)
        if events and not events & READABLE:
            self._ended(source)

    def _try_move(self, source: Source, limit: int) -> int:
        """Move up to `limit` bytes; 0 when there were none, when the source has ended, or while blocked."""
        try:
            moved = self._move(source, limit)
        except BlockingIOError:
            return 0
        except OSError as error:
            if self._made_room(error):
                return self._try_move(source, limit)
            self._block(error)
            return 0
        if moved:
            self.last_output = time.monotonic()
        else:
            self._ended(source)
        return moved

    def _move(self, source: Source, limit: int) -> int:
        """Move up to `limit` bytes into the log; 0 at the end of the source.

        Raises:
            BlockingIOError: there is nothing.
            OSError: the log cannot take it.
        """
        if self._pending:
            self._write_pending()
        log = self._log
        room = log.room()
        if room <= 0:
            self._roll()
            room = log.room()
        count = min(limit, room)
        if self._copies:
            return self._copy(source, count)
        log.note(source.kind, time.time_ns())
        try:
            moved = source.splice(log.fd, count)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self._copies = True  # a file system that cannot splice, e.g. some of FUSE's
            return self._copy(source, count)
        log.end += moved
        return moved

    def _copy(self, source: Source, count: int) -> int:
        """The portable twin of splice."""
        if not self._buffer:
            self._buffer = bytearray(_COPY_BYTES)
        view = memoryview(self._buffer)[:count]
        size = source.read_into(view)
        self._pending = view[:size]
        self._pending_kind = source.kind
        self._write_pending()
        return size

    def _try_pending(self) -> bool:
        """Write what was read before and could not be written; False when the disk still refuses."""
        try:
            self._write_pending()
        except OSError as error:
            if self._made_room(error):
                return self._try_pending()
            self._block(error)
            return False
        return True

    def _write_pending(self) -> None:
        """Write what was read; what the disk refuses stays pending."""
        while self._pending:
            self._log.note(self._pending_kind, time.time_ns())
            written = os.write(self._log.fd, self._pending)
            self._log.end += written
            self._pending = self._pending[written:]

    def _roll(self) -> None:
        """Start a new segment; on a crowded disk keep only the head and the newest."""
        self._log.roll()
        if self._is_crowded():
            self._log.shrink()

    def _is_crowded(self) -> bool:
        if not self._floor_bytes:
            return False
        disk = os.fstatvfs(self._log.fd)
        return disk.f_bavail * disk.f_frsize < self._floor_bytes

    def _ended(self, source: Source) -> None:
        """Every writer of this source is gone."""
        self._loop.forget(source.fd)
        source.close()
        self.sources.remove(source)

    def _made_room(self, error: OSError) -> bool:
        """Give up the middle of this log when the disk is full, once there is one and the floor allows it."""
        if error.errno not in _NO_SPACE or not self._log.has_middle or not self._is_crowded():
            return False
        self._log.shrink()
        return True

    def _block(self, error: OSError) -> None:
        """Wait until the log can be written again. The job blocks when its pipe is full: nothing is lost."""
        for source in self.sources:
            self._loop.forget(source.fd)
        self._loop.set_timer("disk", self._retry_s, self._retry)
        self._retry_s = min(2 * self._retry_s, _LONGEST_RETRY_S)
        self.blocked = "disk full" if error.errno in _NO_SPACE else os.strerror(error.errno or 0)

    def _retry(self) -> None:
        """Try again."""
        self.blocked = ""
        self.drain()
        if self.blocked:
            return
        self._retry_s = _FIRST_RETRY_S
        for source in self.sources:
            self._watch(source)
