"""Waiting for what happens: an exit, a line, a readable descriptor, a change in a directory. Never a sleep.

Everything ends at one standard deadline, far above what any test needs, and then says what it waited for. Code under
test is never given this deadline to make it pass: it only turns a hang into a failure.
"""

import contextlib
import ctypes
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

DEADLINE_S = 30.0
# How long `wait_until` lets pass before it looks again at something that nothing announces.
_LOOK_AGAIN_S = 0.01
_IN_ANY_CHANGE = (
    0x002 | 0x004 | 0x008 | 0x040 | 0x080 | 0x100 | 0x200
)  # modify, attrib, close_write, moved, create, delete
_IN_FLAGS = os.O_CLOEXEC | os.O_NONBLOCK


class TooLateError(AssertionError):
    """What was waited for did not happen before the deadline."""


class Deadline:
    """A point in time that a wait does not pass. `left()` raises when it has been reached."""

    def __init__(self, what: str, seconds: float = DEADLINE_S) -> None:
        self._what = what
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self, so_far: object = "") -> float:
        """Return the seconds left; raise TooLateError, with what was seen so far, when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            seen = f"; so far: {so_far}" if so_far else ""
            raise TooLateError(f"waited {self._seconds:g} s for {self._what}{seen}")
        return left


def wait_readable(fd: int, what: str, deadline: Deadline | None = None) -> None:
    """Return when `fd` is readable or hung up."""
    deadline = deadline or Deadline(what)
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while not poll.poll(deadline.left() * 1000):
        pass  # the deadline raises


def wait_gone(pid: int, what: str = "", deadline: Deadline | None = None) -> None:
    """Return when process `pid` has ended; at once when there is none. Works for processes that are not children."""
    what = what or f"the end of process {pid}"
    if not hasattr(os, "pidfd_open"):
        wait_until(lambda: not _is_alive(pid), what)
        return
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        wait_readable(pidfd, what, deadline)
    finally:
        os.close(pidfd)


def wait_exit(process: "subprocess.Popen[bytes]", what: str = "") -> int:
    """Return the exit status of a child: negative when a signal ended it. Popen.wait(timeout) would poll."""
    wait_gone(process.pid, what or f"the exit of {process.args!r}")
    return process.wait()


def wait_until(condition: Callable[[], object], what: str, *, directory: str | None = None) -> None:
    """Return when `condition()` is true.

    Args:
        condition: cheap and without side effects; called again after each change.
        what: for the message when it never becomes true.
        directory: where a change announces it: creation, deletion, renaming or writing of a file directly in it.
            Without one, or where there is no inotify, the condition is looked at every 10 ms: for what nothing
            announces.
    """
    deadline = Deadline(what)
    with _changes_in(directory) as changed:
        while not condition():
            changed(deadline.left())


def wait_for_file(path: str) -> None:
    """Return when `path` exists. Its directory must exist already."""
    wait_until(lambda: os.path.lexists(path), f"the file {path}", directory=os.path.dirname(path))


@contextlib.contextmanager
def _changes_in(directory: str | None) -> Iterator[Callable[[float], None]]:
    """Yield a function that returns after the next change, or after the given seconds, or early."""
    if directory is None or not sys.platform.startswith("linux"):
        yield lambda seconds: (select.select([], [], [], min(seconds, _LOOK_AGAIN_S)), None)[1]
        return
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.inotify_init1(_IN_FLAGS)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "inotify_init1")
    try:
        if libc.inotify_add_watch(fd, os.fsencode(directory), _IN_ANY_CHANGE) < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch", directory)

        def changed(seconds: float) -> None:
            if select.select([fd], [], [], seconds)[0]:
                os.read(fd, 1 << 16)

        yield changed
    finally:
        os.close(fd)


def _is_alive(pid: int) -> bool:
    """Say whether there is a process `pid`, where pidfds are missing."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class LineMatcher:
    """Reads what a program prints on a pipe or a terminal and waits for what a test expects in it."""

    def __init__(self, fd: int, source: str) -> None:
        self._fd = fd
        self._source = source
        self._unread = ""
        self._ended = False
        self._pending = b""
        self.transcript = ""

    def expect(self, pattern: str) -> re.Match[str]:
        """Return the first match of `pattern` (MULTILINE) in what was not consumed yet, and consume up to its end."""
        deadline = Deadline(f"{pattern!r} from {self._source}")
        while True:
            match = re.search(pattern, self._unread, re.MULTILINE)
            if match:
                self._unread = self._unread[match.end() :]
                return match
            if self._ended:
                raise AssertionError(f"{self._source} ended without {pattern!r}; it printed:\n{self.transcript}")
            self._read(deadline)

    def line(self) -> str:
        """Return the next whole line without its end."""
        return self.expect(r"\A(.*?)\r?\n")[1]

    def rest(self) -> str:
        """Return everything up to the end of the stream that was not consumed yet."""
        deadline = Deadline(f"the end of {self._source}")
        while not self._ended:
            self._read(deadline)
        rest, self._unread = self._unread, ""
        return rest

    def _read(self, deadline: Deadline) -> None:
        """Take what there is, or note the end."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        if not poll.poll(deadline.left(f"\n{self.transcript}") * 1000):
            return
        try:
            chunk = os.read(self._fd, 1 << 16)
        except OSError:  # EIO: how Linux says that the last process left a terminal
            chunk = b""
        self._ended = not chunk
        self._pending += chunk
        text, self._pending = _decode(self._pending, final=self._ended)
        self._unread += text
        self.transcript += text


def _decode(data: bytes, *, final: bool) -> tuple[str, bytes]:
    """Return the text in `data` and the bytes of a character that is not complete yet."""
    try:
        return data.decode(), b""
    except UnicodeDecodeError as error:
        cut = error.start if not final and error.reason == "unexpected end of data" else len(data)
        return data[:cut].decode(errors="replace"), data[cut:]
