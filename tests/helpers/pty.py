"""A program on a real terminal: what it shows is matched line by line, what a person types is sent as bytes."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence

from tests.helpers.waiting import LineMatcher, wait_exit

# Makes the terminal on descriptor 0 the controlling one, then becomes the program. A function run between fork and exec
# would do the same, but is not safe in a process that has threads.
_BECOME = "import fcntl,os,sys,termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_=>])")

KEYS = {
    "Enter": b"\r",
    "Tab": b"\t",
    "Escape": b"\x1b",
    "Up": b"\x1b[A",
    "Down": b"\x1b[B",
    **{f"C-{letter}": bytes([ord(letter) & 0x1F]) for letter in "abcdefghijklmnopqrstuvwxyz\\]"},
}


def plain(text: str) -> str:
    """Return `text` without terminal escape sequences."""
    return _ESCAPES.sub("", text)


class Terminal:
    """One program with its own terminal. A context manager: at the end the program is gone.

    Args:
        argv: the program and its arguments.
        env: its whole environment; TERM is added when missing.
        rows: height of the terminal.
        columns: width of the terminal.
        cwd: its working directory.
    """

    def __init__(
        self, argv: Sequence[str], env: Mapping[str, str], *, rows: int = 24, columns: int = 80, cwd: str | None = None
    ) -> None:
        self._master, program_side = pty.openpty()
        self.resize(rows, columns)
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _BECOME, *argv],
                stdin=program_side,
                stdout=program_side,
                stderr=program_side,
                env={"TERM": "xterm", **env},
                cwd=cwd,
                start_new_session=True,
            )
        except BaseException:
            os.close(self._master)
            raise
        finally:
            os.close(program_side)
        self._matcher = LineMatcher(self._master, f"{argv!r} on a terminal")

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        wait_exit(self.process)
        os.close(self._master)

    @property
    def transcript(self) -> str:
        """Everything shown so far that was read, escape sequences included."""
        return self._matcher.transcript

    @property
    def is_raw(self) -> bool:
        """Whether programs get every key as it is, and none is shown by the terminal itself."""
        return not termios.tcgetattr(self._master)[3] & (termios.ICANON | termios.ECHO)

    def expect(self, pattern: str) -> re.Match[str]:
        """Wait until what is shown matches `pattern`, and go on after it. Escape sequences are part of the text."""
        return self._matcher.expect(pattern)

    def rest(self) -> str:
        """Return what is shown until the program leaves the terminal."""
        return self._matcher.rest()

    def type(self, text: str) -> None:
        """Type text as it is; a line ends with "\\r", as from the Enter key."""
        os.write(self._master, text.encode())

    def press(self, *keys: str) -> None:
        """Press keys by name: Enter, C-c, Up …"""
        os.write(self._master, b"".join(KEYS[key] for key in keys))

    def resize(self, rows: int, columns: int) -> None:
        """Change the terminal's size; the program gets SIGWINCH."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def hang_up(self) -> None:
        """Do what closing the window does."""
        os.killpg(self.process.pid, signal.SIGHUP)

    def wait(self) -> int:
        """Return the program's exit status; what it shows meanwhile is read, so that it cannot block on it."""
        self._matcher.rest()
        return wait_exit(self.process)
