"""Where words go: data to stdout, talk to stderr; colour only on a terminal; a reader that went away ends us quietly.

Writes to descriptors directly: `sys.stdout` would decode, buffer a second time, and complain at exit.
"""

import os

from bgjob_cli.terminal_text import cut
from bgjobd.errors import BgjobError, ErrorCode

__all__ = ["Output", "ReaderGone", "terminal_width"]

_STDOUT, _STDERR = 1, 2
_BUFFER_BYTES = 1 << 16
_LONGEST_WIDTH = 10  # digits; Python makes no number of very many

_STYLES = {
    "heading": "1",
    "good": "32",
    "busy": "36",
    "bad": "31",
    "warn": "33",
    "dim": "2",
    "strong": "1",
}


class ReaderGone(Exception):
    """Whoever read our stdout has closed it (`bgjob output J | head`): there is nothing left to do."""


class Output:
    """The two streams of this process, and what is known about the terminal behind them.

    Text is buffered until `flush`, except on a terminal, where every line is shown at once.
    """

    def __init__(self, *, json: bool = False, color: str = "auto") -> None:
        self.json = json
        self.is_terminal = os.isatty(_STDOUT)
        self.talk_is_terminal = os.isatty(_STDERR)
        self._color = _wants_color(color, self.is_terminal)
        self._talk_color = _wants_color(color, self.talk_is_terminal)
        self._pending = bytearray()

    # --- data

    def line(self, text: str = "", end: str = "\n") -> None:
        """Print one line of data, or with `end` "" a part of one."""
        self._pending += (text + end).encode("utf-8", "surrogateescape")
        if self.is_terminal or len(self._pending) >= _BUFFER_BYTES:
            self.flush()

    def raw(self, data: bytes) -> None:
        """Write bytes to stdout as they are, now.

        Raises:
            ReaderGone: stdout was closed by its reader.
            BgjobError: STORAGE when it cannot be written otherwise, e.g. a full disk.
        """
        self.flush()
        _write_all(_STDOUT, data)

    def flush(self) -> None:
        """Write what is buffered."""
        if self._pending:
            data, self._pending = self._pending, bytearray()
            _write_all(_STDOUT, data)

    # --- talk

    def talk(self, text: str, style: str = "") -> None:
        """Say something to the person, on stderr. A closed stderr is no error: nobody listens."""
        self.flush()
        try:
            _write_all(_STDERR, (_painted(text, style, self._talk_color) + "\n").encode("utf-8", "surrogateescape"))
        except (ReaderGone, BgjobError):
            pass  # the exit status still says it

    @property
    def can_redraw(self) -> bool:
        """Whether a line on stderr can be written over: `redraw`."""
        return self.talk_is_terminal and os.environ.get("TERM", "dumb") != "dumb"

    def redraw(self, text: str) -> None:
        """Show one line on stderr in place of the one that `redraw` showed before; none for "". Never wraps."""
        shown = _painted(cut(text, terminal_width(_STDERR) - 1), "dim", self._talk_color)
        try:
            _write_all(_STDERR, f"\r{shown}\x1b[K".encode("utf-8", "surrogateescape"))  # EL: erase the rest (ECMA-48)
        except (ReaderGone, BgjobError):
            pass  # nobody looks

    def raw_talk(self, data: bytes) -> None:
        """Write bytes to stderr as they are: a job's own stderr. Raises like `raw`."""
        _write_all(_STDERR, data)

    # --- appearance

    def paint(self, text: str, style: str) -> str:
        """Return `text` in a style for stdout; unchanged where there is no colour."""
        return _painted(text, style, self._color)

    @property
    def width(self) -> int | None:
        """Columns of the terminal that stdout is; None when it is none, and lines are never cut."""
        return terminal_width(_STDOUT) if self.is_terminal else None


def terminal_width(fd: int) -> int:
    """Return the columns of the terminal at `fd`, or 80 where it does not say. COLUMNS (POSIX) has the last word."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and len(columns) < _LONGEST_WIDTH and int(columns) > 0:
        return int(columns)
    try:
        return os.get_terminal_size(fd).columns or 80
    except OSError:
        return 80


def _wants_color(choice: str, is_terminal: bool) -> bool:
    """Return whether to colour: the option, then NO_COLOR (no-color.org), then whether it is a capable terminal."""
    if choice != "auto":
        return choice == "always"
    return is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def _painted(text: str, style: str, color: bool) -> str:
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if color and style and text else text


def _write_all(fd: int, data: bytes | bytearray) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(fd, view) :]
    except BrokenPipeError as error:
        raise ReaderGone from error
    except OSError as error:
        name = "stdout" if fd == _STDOUT else "stderr"
        raise BgjobError(ErrorCode.STORAGE, f"cannot write to {name}: {error.strerror}") from error
