"""The terminal of a job: making it, its size and modes, and reading it without ever losing a byte.

The kernel does not splice a terminal into a file, so what the job writes goes through a pipe that the zygote keeps:
terminal -> pipe -> log. Each byte is always in one of the three, also when the runner is killed between two steps.

The runner holds the job's side of the terminal open until the main process has ended. A job that closes its terminal
and opens /dev/tty again is then no end, and nothing wakes the runner when nothing happens.

Source: pty(7), termios(3), tty_ioctl(2).
"""

import errno
import fcntl
import os
import struct
import termios

from bgjobd.runner import system
from bgjobd.runner.asking import JobInput
from bgjobd.runner.logfile import KIND_PTY
from bgjobd.runner.pump import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

LINE, HIDDEN, RAW = "line", "hidden", "raw"

_RELAY_BYTES = 64 << 10
_MOST_WAITING = 128 << 10  # what the buffers of a terminal hold, and as much again
_WINSIZE = struct.Struct("HHHH")
_IUTF8 = 0x4000  # erase whole characters; termios(3) of Linux and macOS
_CONTROL_D = b"\x04"
_DISABLED = (b"\0", b"\xff")  # _POSIX_VDISABLE of Linux and macOS


class Terminal:
    """The runner's side of a terminal.

    Args:
        master: non-blocking; stays open until `close`.
        relay: the ends of a pipe, to read and to write; both non-blocking.
        path: of the job's side.
    """

    __slots__ = ("_held", "_relay", "master", "path")

    def __init__(self, master: int, relay: tuple[int, int], path: str) -> None:
        self.master = master
        self.path = path
        self._relay = relay
        self._held = os.open(self.path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)

    @classmethod
    def make(cls, rows: int, columns: int, relay: tuple[int, int]) -> "Terminal":
        """Make a new one.

        Raises:
            OSError: there are no more terminals or descriptors.
        """
        master, slave = os.openpty()
        try:
            os.set_blocking(master, False)
            modes = termios.tcgetattr(slave)
            modes[0] |= _IUTF8
            termios.tcsetattr(slave, termios.TCSANOW, modes)
            # Not by ptsname(3), which is called through ctypes: its objects would be 16 KiB more of each runner's own.
            terminal = cls(master, relay, os.ttyname(slave))
        except OSError:
            os.close(master)
            raise
        finally:
            os.close(slave)
        terminal.resize(rows, columns)
        return terminal

    @classmethod
    def inherit(cls, master: int, relay_read: int) -> "Terminal":
        """Take over the one of a runner that was killed.

        Raises:
            OSError: it cannot be opened.
        """
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC
        return cls(master, (relay_read, os.open(f"/proc/self/fd/{relay_read}", flags)), _path(master))

    def source(self) -> "TerminalSource":
        """Return where to read what the job writes; call it once."""
        return TerminalSource(os.dup(self.master), self._relay)

    def input_fd(self) -> int:
        """Return a new descriptor to type on."""
        return os.dup(self.master)

    def actions(self, stdin_fd: int = -1) -> "Sequence[tuple[object, ...]]":
        """Return the file actions that make it the job's standard streams, and the terminal that controls it.

        A session leader that opens a terminal gets it as its own; posix_spawn makes the session first.

        Args:
            stdin_fd: what the job has as its standard input instead, -1: the terminal.
        """
        return [
            (os.POSIX_SPAWN_OPEN, 1, self.path, os.O_RDWR, 0),
            (os.POSIX_SPAWN_DUP2, 1, 2),
            (os.POSIX_SPAWN_DUP2, stdin_fd if stdin_fd >= 0 else 1, 0),
        ]

    def let_go(self) -> None:
        """Let the terminal end when the last process of the job has closed it. A second call does nothing."""
        if self._held >= 0:
            os.close(self._held)
            self._held = -1

    def close(self) -> None:
        """Let go of everything but the source and the input, which their users close."""
        self.let_go()
        os.close(self.master)

    def resize(self, rows: int, columns: int) -> None:
        """Set the size; the kernel sends SIGWINCH to the foreground if it is another one.

        Raises:
            OSError: the terminal is gone.
        """
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, _WINSIZE.pack(rows, columns, 0, 0))

    def size(self) -> tuple[int, int]:
        """Return rows and columns."""
        try:
            answer = fcntl.ioctl(self.master, termios.TIOCGWINSZ, bytes(_WINSIZE.size))
        except OSError:
            return 0, 0
        rows, columns, _, _ = _WINSIZE.unpack(answer)
        return rows, columns

    def mode(self) -> str:
        """Return how it takes input: LINE, HIDDEN (lines that are not shown) or RAW; empty when it is gone."""
        modes = self._modes()
        if modes is None:
            return ""
        if not modes[3] & termios.ICANON:
            return RAW
        return LINE if modes[3] & termios.ECHO else HIDDEN

    def end_of_file(self, in_line: bool) -> bytes:
        """Return what has to be typed to end the input.

        Args:
            in_line: whether something stands on the line already: the first one then only hands that over.
        """
        modes = self._modes()
        if modes is None or not modes[3] & termios.ICANON:
            return _CONTROL_D
        character: bytes = modes[6][termios.VEOF]
        if character in _DISABLED:
            return _CONTROL_D
        return character * 2 if in_line else character

    def job_input(self) -> JobInput | None:
        """Return how the job's processes have it open; None when it is gone."""
        modes = self._modes()
        try:
            found = os.stat(self.path)
            foreground = os.tcgetpgrp(self.master)
        except OSError:
            return None
        has_time_limit = modes is not None and not modes[3] & termios.ICANON and modes[6][termios.VMIN] == b"\0"
        return JobInput(
            (found.st_dev, found.st_ino), found.st_rdev, has_time_limit=has_time_limit, foreground=foreground
        )

    def _modes(self) -> "list[Any] | None":
        try:
            return termios.tcgetattr(self.master)
        except (OSError, termios.error):
            return None


class TerminalSource(Source):
    """What the job writes to its terminal, on its way through the relay."""

    __slots__ = ("_pending", "_relay")

    def __init__(self, master: int, relay: tuple[int, int]) -> None:
        super().__init__(master, KIND_PTY)
        self._relay = relay
        self._pending = system.waiting_bytes(relay[0])  # in the relay: there when a runner was killed, or a disk full

    def waiting(self) -> int:
        """Return how much there is to move; of a terminal it is not known before it was read."""
        return self._pending or _MOST_WAITING

    def splice(self, target: int, count: int) -> int:
        """Move up to `count` bytes; see `Source.splice`."""
        if not self._pending:
            try:
                self._pending = system.splice(self.fd, self._relay[1], min(count, _RELAY_BYTES))
            except OSError as error:
                if _is_end(error):
                    return 0
                raise
        moved = system.splice(self._relay[0], target, min(count, self._pending))
        self._pending -= moved
        return moved

    def read_into(self, buffer: memoryview) -> int:
        """Read instead; see `Source.read_into`."""
        if self._pending:
            size = os.readv(self._relay[0], [buffer[: self._pending]])
            self._pending -= size
            return size
        return super().read_into(buffer)

    def close(self) -> None:
        """Let go of all of it."""
        super().close()
        for fd in self._relay:
            os.close(fd)


def _is_end(error: OSError) -> bool:
    """Whether every process has closed the terminal: that is EIO, not an end of file."""
    return error.errno == errno.EIO


def _path(master: int) -> str:
    """Return the path of the job's side of a terminal."""
    path = system.terminal_path(master)
    if not path:
        raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
    return path
