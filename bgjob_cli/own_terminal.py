"""The person's own terminal while a job's terminal is shown in it: raw, and put back as it was on every way out."""

import os
import re
import select
import signal
import termios
import threading
import time
import tty
from typing import Any

__all__ = ["OwnTerminal", "PassedModes", "is_terminal_of"]

_STDIN, _STDOUT = 0, 1

_MODE = re.compile(
    rb"\x1b(?:\[\?([0-9;]+)([hl])|\[>([0-9;]*)([mu])|\[<([0-9]{0,5})u"
    rb"|([=>])|(c)|\[([0-9]*) q|\](4|1[0-2]);[^?\x1b\x07])"
)
_BEGINNING = re.compile(rb"\x1b(?:\[[?><]?[0-9;]* ?|\][0-9]*;?)?\Z")
_LONGEST_BEGINNING = 64
# DEC's private modes that are set on an ordinary terminal: the caret blinks, is shown, lines wrap.
_USUALLY_SET = {7, 12, 25}
_ALTERNATE_SCREENS = {47, 1047, 1049}
_NOT_UNDONE = {3, 1048, 2026}  # 132 columns: erases; a saved caret; synchronized output, which ends by itself


class PassedModes:
    """Remembers which modes a program has set in a terminal that its output is passed on to, to undo them.

    Source: ctlseqs of xterm; the keyboard protocol of kitty for CSI > u and CSI < u.
    """

    def __init__(self) -> None:
        self._private: dict[int, bool] = {}
        self._keypad = False
        self._other_keys = False
        self._keyboard_depth = 0
        self._caret_style = b""
        self._colours: set[bytes] = set()  # OSC 4, 10, 11 and 12: the palette, text, background and caret
        self._cut = b""
        self._keeps_title = False

    def begin(self) -> bytes:
        """Return what has the terminal keep what `undo` brings back, its title; ignored by terminals that cannot."""
        self._keeps_title = True
        return b"\x1b[22;2t"

    def feed(self, output: bytes) -> None:
        """Take output, in pieces as it comes."""
        data = self._cut + output
        for match in _MODE.finditer(data):
            private, on, pushed, final, popped, keypad, reset, caret_style, colour = match.groups()
            if private is not None:
                numbers = private.split(b";")
                self._private.update((int(number), on == b"h") for number in numbers if 0 < len(number) < 6)
            elif final == b"m":
                self._other_keys = pushed.startswith(b"4;") and not pushed.endswith(b";0")
            elif final == b"u":
                self._keyboard_depth += 1
            elif popped is not None:
                self._keyboard_depth = max(0, self._keyboard_depth - int(popped or 1))
            elif keypad:
                self._keypad = keypad == b"="
            elif caret_style is not None:
                self._caret_style = caret_style.strip(b"0")
            elif colour is not None:
                self._colours.add(colour)
            elif reset:
                self._private.clear()
                self._keypad = self._other_keys = False
                self._keyboard_depth = 0
                self._caret_style = b""
                self._colours.clear()
        beginning = _BEGINNING.search(data, max(0, len(data) - _LONGEST_BEGINNING))
        self._cut = data[beginning.start() :] if beginning else b""

    def undo(self) -> bytes:
        """Return what makes the terminal ordinary again, with the caret at the beginning of a new line at its end."""
        parts = [b"\x1b[0m\x1b[r\x1b[?6l\x1b[4l"]
        for mode, on in self._private.items():
            if mode not in _NOT_UNDONE | _ALTERNATE_SCREENS and on != (mode in _USUALLY_SET):
                parts.append(b"\x1b[?%d%c" % (mode, b"h" if mode in _USUALLY_SET else b"l"))
        if self._other_keys:
            parts.append(b"\x1b[>4;0m")
        if self._keyboard_depth:
            parts.append(b"\x1b[<%du" % self._keyboard_depth)
        if self._keypad:
            parts.append(b"\x1b>")
        if self._caret_style:
            parts.append(b"\x1b[0 q")
        parts += [b"\x1b]1%02d\x07" % int(colour) for colour in sorted(self._colours)]
        parts += [b"\x1b[?%dl" % mode for mode in _ALTERNATE_SCREENS if self._private.get(mode)]
        if self._keeps_title:
            parts.append(b"\x1b[23;2t")
        return b"".join([*parts, b"\x1b(B\x0f\x1b[9999;1H\r\n"])


class OwnTerminal:
    """Our standard input and output, which are one terminal. From `enter` to `leave` every key reaches us as it is."""

    def __init__(self) -> None:
        self._before: list[Any] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        size = os.get_terminal_size(_STDOUT)
        return size.lines or 24, size.columns or 80

    def enter(self) -> None:
        """Pass on keys as they are, and show nothing by ourselves. Again after somebody else has changed that."""
        if self._before is None:
            self._before = termios.tcgetattr(_STDIN)
        tty.setraw(_STDIN, termios.TCSANOW)  # to drain would be to wait for a window that takes no output

    def show_last(self, data: bytes, timeout_s: float, writer: threading.Thread | None) -> None:
        """Show what comes last. Where the window does not take it in time, throw away what it has not taken yet.

        Args:
            data: what to show.
            timeout_s: how long the window may take no output.
            writer: a thread that is stuck in writing, if there is one. It gets a BlockingIOError.
        """
        try:
            os.set_blocking(_STDOUT, False)  # also for the shell that started us: not for long
            try:
                if writer is not None and writer.ident is not None:
                    signal.pthread_kill(writer.ident, signal.SIGCONT)  # lets go of the terminal, and finds it changed
                    writer.join(timeout_s)
                    termios.tcflush(_STDOUT, termios.TCOFLUSH)
                _write_within(data, timeout_s)
            except TimeoutError:
                termios.tcflush(_STDOUT, termios.TCOFLUSH)
                _write_within(data, timeout_s)
            finally:
                os.set_blocking(_STDOUT, True)
        except (OSError, termios.error):
            return  # the window is gone

    def leave(self) -> None:
        """Put the terminal's line discipline back. A second call does nothing."""
        if self._before is not None:
            try:
                termios.tcsetattr(_STDIN, termios.TCSANOW, self._before)
            except termios.error:
                pass  # the window was closed: there is nothing to put back
            self._before = None


def _write_within(data: bytes, timeout_s: float) -> None:
    """Write to our output, which must not block.

    Raises:
        TimeoutError: it takes no more.
    """
    deadline = time.monotonic() + timeout_s
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(_STDOUT, view) :]
        except BlockingIOError as error:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not select.select([], [_STDOUT], [], left_s)[1]:
                raise TimeoutError from error


def is_terminal_of(pid: int) -> bool:
    """Return whether our terminal is the one that controls a process; false where the system does not tell."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            stat = file.readall()
    except OSError:
        return False
    number = int(stat[stat.rindex(b")") :].split()[5])  # tty_nr of proc(5)
    device = os.makedev(number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00)
    return number != 0 and device == os.fstat(_STDIN).st_rdev
