"""What a line looks like once a terminal has drawn it: escape sequences resolved, progress bars in their last state.

Works on one line at a time, so a sequence that moves the cursor to another line is left out. Patterns are matched
against `without_codes`: colours do not come between the words, and each state of a progress bar counts. Pure.
Source: ECMA-48 for the sequences, of which only those that move or erase within a line have an effect here.
"""

import re

__all__ = ["place_with_codes", "plain_line", "without_codes"]

_CONTROL = re.compile(
    r"\x1b\[(?P<parameters>[0-?]*)[ -/]*(?P<final>[@-~])"  # CSI
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)"  # OSC, DCS, SOS, PM, APC with their text
    r"|\x1b[ -/]*[0-~]?"  # other escape sequences
    r"|[\x00-\x1f\x7f-\x9f]"
)
# Whole sequences only, within a line: what the beginning of one will be is not known.
_CODE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)|\x1b(?![\[\]PX^_])[ -/]*[0-~]")
_TAB = 8
_WIDEST = 10_000  # a column that a sequence may jump to; beyond it nobody looks


def plain_line(data: bytes) -> str:
    """Return what is left to see of a line (without its newline). Bytes that are not UTF-8 are replaced."""
    text = data.decode("utf-8", "replace")
    if text.isprintable():
        return text
    drawn = _Drawn()
    position = 0
    for control in _CONTROL.finditer(text):
        drawn.put(text[position : control.start()])
        if control["final"]:
            drawn.sequence(control["final"], control["parameters"])
        else:
            drawn.control(control[0])
        position = control.end()
    drawn.put(text[position:])
    return "".join(drawn.cells).rstrip()


def without_codes(text: str) -> str:
    """Return lines without escape sequences: colours, titles, links, cursor movement. Nothing else is changed."""
    return _CODE.sub("", text) if "\x1b" in text else text


def place_with_codes(text: str, place: int) -> int:
    """Return where in `text` the character is that stands at `place` of `without_codes(text)`."""
    for code in _CODE.finditer(text):
        if code.start() > place:
            break
        place += code.end() - code.start()
    return place


class _Drawn:
    """One row of a terminal: what stands in it, and where the cursor is."""

    def __init__(self) -> None:
        self.cells: list[str] = []
        self.column = 0

    def put(self, text: str) -> None:
        self._reach(self.column)
        self.cells[self.column : self.column + len(text)] = text
        self.column += len(text)

    def control(self, character: str) -> None:
        """Carry out a control character; others have no effect on one line."""
        if character == "\r":
            self.column = 0
        elif character == "\b":
            self.column = max(0, self.column - 1)
        elif character == "\t":
            self.column += _TAB - self.column % _TAB

    def sequence(self, final: str, parameters: str) -> None:
        """Carry out a control sequence."""
        first = parameters.split(";")[0]
        number = min(int(first), _WIDEST) if first.isdecimal() else 0
        if final == "C":
            self.column += number or 1
        elif final == "D":
            self.column = max(0, self.column - (number or 1))
        elif final in "G`":
            self.column = max(0, number - 1)
        elif final == "K":
            self._erase(number)
        elif final == "P":
            del self.cells[self.column : self.column + (number or 1)]

    def _erase(self, part: int) -> None:
        """Erase to the end of the line (0), up to the cursor (1), or all of it (2)."""
        if part in (1, 2):
            self.cells[: self.column + 1] = " " * min(len(self.cells), self.column + 1)
        if part in (0, 2):
            del self.cells[self.column :]

    def _reach(self, column: int) -> None:
        self.cells.extend(" " * (column - len(self.cells)))
