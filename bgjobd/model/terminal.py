"""What a terminal would show of the bytes that a program wrote to it: sequences recognised, modes kept. Pure.

Sequences are recognised here and not by pyte, whose parser raises on some unusual ones and does not know the alternate
screen, REP, SU and SD, CHT and CBT, line drawing in UTF-8, or parameters behind colons. Nothing that a job writes can
raise here; what is not known has no effect.

Must only be imported where a screen is asked for, see `grid`.

Sources: ECMA-48; ctlseqs of xterm. Names like DECCKM are those of DEC's private modes.
"""

import re
from collections.abc import Callable, Iterable

import pyte.modes  # noqa: TID253  # this file is imported only when somebody asks for a screen

from bgjobd.model.grid import Grid

__all__ = ["APPLICATION_CURSOR", "TOKEN", "Terminal"]

TOKEN = re.compile(
    r"(?P<text>[^\x00-\x1f\x7f-\x9f]+)"
    r"|\x1b\[(?P<parameters>[0-?]*)(?P<intermediate>[ -/]*)(?P<final>[@-~])"
    r"|\x1b\](?P<command>[^\x07\x1b]*)(?:\x07|\x1b\\)"  # OSC
    r"|\x1b[PX^_][^\x1b]*\x1b\\"  # DCS, SOS, PM, APC
    r"|\x1b(?P<escape>[ -/]*[0-~])"
    r"|(?P<control>[\x00-\x1f\x7f-\x9f])"
)
_LARGEST_PARAMETER = 9999
_LONGEST_TITLE = 200

_CHARSETS = {"(": "B", ")": "B"}  # ASCII as G0 and as G1, which SO shifts to

APPLICATION_CURSOR = 1  # DECCKM
_ORIGIN, _WRAP, _SHOW_CARET, _CARET_SAVED = 6, 7, 25, 1048
_ALTERNATE_SCREENS = (47, 1047, 1049)
_ALTERNATE_WITH_CARET = 1049


class Terminal:
    """A terminal of a fixed size.

    Args:
        rows: its height.
        columns: its width.
        newline_returns: see `Grid`.
    """

    def __init__(self, rows: int, columns: int, *, newline_returns: bool = False) -> None:
        self.grid = Grid(rows, columns, newline_returns=newline_returns)
        self.private_modes: dict[int, bool] = {}  # those that were set or reset
        self.keypad = False  # DECKPAM: its keys send sequences
        self.caret_style = 0  # DECSCUSR; 0: as the person likes it
        self.charsets = dict(_CHARSETS)  # what was designated as G0 and G1
        self._main: dict[int, object] | None = None  # rows of the main screen while the alternate one is shown

    @property
    def is_alternate(self) -> bool:
        """Whether it shows the alternate screen, as full-screen programs do."""
        return self._main is not None

    def feed(self, tokens: "Iterable[re.Match[str]]") -> None:
        """Take what was written, as matches of TOKEN."""
        for token in tokens:
            kind = token.lastgroup
            if kind == "text":
                self.grid.draw(token[0])
            elif kind == "final":
                self._sequence(token["final"], token["parameters"], token["intermediate"])
            elif kind == "control":
                self._control(token[0])
            elif kind == "escape":
                self._escape(token["escape"])
            elif kind == "command":
                self._command(token["command"])

    def set_private_mode(self, mode: int, on: bool) -> None:
        """Set or reset one of DEC's private modes."""
        self.private_modes[mode] = on
        if mode in _ALTERNATE_SCREENS:
            self._show_alternate(on, with_caret=mode == _ALTERNATE_WITH_CARET)
        elif mode in (_ORIGIN, _WRAP, _SHOW_CARET):
            (self.grid.set_mode if on else self.grid.reset_mode)(mode, private=True)
        elif mode == _CARET_SAVED:
            (self.grid.save_cursor if on else self.grid.restore_cursor)()

    def _control(self, character: str) -> None:
        grid = self.grid
        if character == "\r":
            grid.carriage_return()
        elif character in "\n\v\f":
            grid.linefeed()
        elif character == "\b":
            grid.backspace()
        elif character == "\t":
            grid.tab()
        elif character in "\x0e\x0f":
            grid.charset = int(character == "\x0e")

    def _escape(self, sequence: str) -> None:
        if sequence == "c":
            self._reset()
        elif sequence in "=>":
            self.keypad = sequence == "="
        elif sequence[0] in "()" and len(sequence) == 2:
            self.charsets[sequence[0]] = sequence[1]
            self.grid.define_charset(sequence[1], sequence[0])
        elif sequence in _ESCAPES:
            _ESCAPES[sequence](self.grid)

    def _command(self, command: str) -> None:
        """Take an OSC: of these only titles are kept."""
        number, _, text = command.partition(";")
        if number in ("0", "2"):
            self.grid.title = "".join(character for character in text if character.isprintable())[:_LONGEST_TITLE]

    def _sequence(self, final: str, parameters: str, intermediate: str) -> None:
        """Take a control sequence."""
        prefix = parameters[:1] if parameters[:1] in ("<", "=", ">", "?") else ""
        if intermediate:
            if intermediate == "!" and final == "p":
                self._soft_reset()
            elif intermediate == " " and final == "q" and not prefix:
                self.caret_style = _which(_numbers(parameters))
        elif prefix == "?":
            numbers = _numbers(parameters[1:])
            if final in "hl":
                for mode in numbers:
                    self.set_private_mode(mode, final == "h")
            elif final in "JK":  # only what is not protected; nothing is, here
                _SEQUENCES[final](self.grid, numbers)
        elif final == "m" and not prefix:
            self.grid.select_graphic_rendition(*_numbers(_without_colons(parameters)))
        elif final in _SEQUENCES and not prefix:
            _SEQUENCES[final](self.grid, _numbers(parameters))

    def _reset(self) -> None:
        """Go back to the beginning (RIS)."""
        self.grid.reset()
        self.private_modes.clear()
        self.keypad = False
        self.caret_style = 0
        self.charsets = dict(_CHARSETS)
        self._main = None

    def _soft_reset(self) -> None:
        """Go back to ordinary modes and keep what is shown (DECSTR)."""
        caret = (self.grid.cursor.x, self.grid.cursor.y)
        for mode, on in ((_ORIGIN, False), (_WRAP, True), (_SHOW_CARET, True), (APPLICATION_CURSOR, False)):
            self.set_private_mode(mode, on)
        self.keypad = False
        self.grid.margins = None
        self.grid.charset = 0
        for which, charset in _CHARSETS.items():
            self.charsets[which] = charset
            self.grid.define_charset(charset, which)
        self.grid.reset_mode(pyte.modes.IRM)
        self.grid.select_graphic_rendition(0)
        self.grid.cursor.x, self.grid.cursor.y = caret

    def _show_alternate(self, on: bool, *, with_caret: bool) -> None:
        """Change to the alternate screen, which is empty then, or back to the main one, which is as it was."""
        buffer: dict[int, object] = self.grid.buffer  # type: ignore[assignment]  # rows are only kept here
        if on and self._main is None:
            if with_caret:
                self.grid.save_cursor()
            self._main = dict(buffer)
            buffer.clear()
        elif not on and self._main is not None:
            buffer.clear()
            buffer.update(self._main)
            self._main = None
            if with_caret:
                self.grid.restore_cursor()


def _numbers(parameters: str) -> list[int]:
    """Return the parameters of a sequence; one that is left out is 0."""
    if not parameters:
        return []
    return [min(int(word), _LARGEST_PARAMETER) if word.isdecimal() else 0 for word in parameters.split(";")]


def _without_colons(parameters: str) -> str:
    """Return SGR parameters as pyte knows them: `38:2::R:G:B` is `38;2;R;G;B`, `4:3` is an underline."""
    if ":" not in parameters:
        return parameters
    return ";".join(_joined(word.split(":")) for word in parameters.split(";"))


def _joined(parts: list[str]) -> str:
    if parts[0] in ("38", "48"):
        colour = parts[-3:] if parts[1] == "2" else parts[2:3]
        return ";".join([*parts[:2], *colour])
    return "24" if parts[:2] == ["4", "0"] else parts[0]


def _count(numbers: list[int]) -> int:
    """Return how often, or how far: at least once."""
    return numbers[0] if numbers and numbers[0] else 1


def _which(numbers: list[int]) -> int:
    return numbers[0] if numbers else 0


def _position(grid: Grid, numbers: list[int]) -> None:
    grid.cursor_position(*(*numbers, 0, 0)[:2])


def _margins(grid: Grid, numbers: list[int]) -> None:
    """Set the rows that scroll (DECSTBM), which also moves the caret home."""
    top, bottom = (*numbers, 0, 0)[:2]
    grid.set_margins(top or 1, bottom or grid.lines)
    grid.cursor_position()


def _repeat(grid: Grid, numbers: list[int]) -> None:
    """Write the last character again (REP); more of them than fit on the screen would not be seen."""
    grid.draw(grid.last_drawn * min(_count(numbers), grid.columns * grid.lines))


def _tab_forward(grid: Grid, numbers: list[int]) -> None:
    for _ in range(min(_count(numbers), grid.columns)):
        grid.tab()


def _next_line(grid: Grid) -> None:
    grid.carriage_return()
    grid.index()


def _set_modes(grid: Grid, numbers: list[int], change: Callable[..., None]) -> None:
    change(*(mode for mode in numbers if mode in (pyte.modes.IRM, pyte.modes.LNM)))


_ESCAPES: dict[str, Callable[[Grid], None]] = {
    "D": Grid.index,
    "E": _next_line,
    "H": Grid.set_tab_stop,
    "M": Grid.reverse_index,
    "7": Grid.save_cursor,
    "8": Grid.restore_cursor,
}

_SEQUENCES: dict[str, Callable[[Grid, list[int]], None]] = {
    "@": lambda grid, numbers: grid.insert_characters(_count(numbers)),
    "A": lambda grid, numbers: grid.cursor_up(_count(numbers)),
    "B": lambda grid, numbers: grid.cursor_down(_count(numbers)),
    "C": lambda grid, numbers: grid.cursor_forward(_count(numbers)),
    "D": lambda grid, numbers: grid.cursor_back(_count(numbers)),
    "E": lambda grid, numbers: grid.cursor_down1(_count(numbers)),
    "F": lambda grid, numbers: grid.cursor_up1(_count(numbers)),
    "G": lambda grid, numbers: grid.cursor_to_column(_count(numbers)),
    "H": _position,
    "I": _tab_forward,
    "J": lambda grid, numbers: grid.erase_in_display(_which(numbers)),
    "K": lambda grid, numbers: grid.erase_in_line(_which(numbers)),
    "L": lambda grid, numbers: grid.insert_lines(_count(numbers)),
    "M": lambda grid, numbers: grid.delete_lines(_count(numbers)),
    "P": lambda grid, numbers: grid.delete_characters(_count(numbers)),
    "S": lambda grid, numbers: grid.scroll_region(_count(numbers)),
    "T": lambda grid, numbers: grid.scroll_region(-_count(numbers)),
    "X": lambda grid, numbers: grid.erase_characters(_count(numbers)),
    "Z": lambda grid, numbers: grid.tab_back(_count(numbers)),
    "`": lambda grid, numbers: grid.cursor_to_column(_count(numbers)),
    "a": lambda grid, numbers: grid.cursor_forward(_count(numbers)),
    "b": _repeat,
    "d": lambda grid, numbers: grid.cursor_to_line(_count(numbers)),
    "e": lambda grid, numbers: grid.cursor_down(_count(numbers)),
    "f": _position,
    "g": lambda grid, numbers: grid.clear_tab_stop(_which(numbers)),
    "h": lambda grid, numbers: _set_modes(grid, numbers, grid.set_mode),
    "l": lambda grid, numbers: _set_modes(grid, numbers, grid.reset_mode),
    "r": _margins,
    "s": lambda grid, _: grid.save_cursor(),
    "u": lambda grid, _: grid.restore_cursor(),
}
