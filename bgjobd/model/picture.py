"""The picture that the end of a job's output makes on a terminal: as text, or as what repaints another terminal. Pure.

Only as much is drawn as is needed: from the last time the screen was cleared or the alternate one was entered, at most
FEED_BYTES and _MOST_TOKENS of it; before that, only what changes modes is looked for. That bounds the time to some
tenths of a second, whatever a job writes.

Must only be imported where a screen is asked for, see `grid`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pyte.modes  # noqa: TID253  # this file is imported only when somebody asks for a screen
from pyte.graphics import BG_AIXTERM, BG_ANSI, FG_256, FG_AIXTERM, FG_ANSI, FG_BG_256  # noqa: TID253  # likewise
from pyte.screens import Char  # noqa: TID253  # likewise

from bgjobd.model.grid import BLANK, Grid
from bgjobd.model.terminal import APPLICATION_CURSOR, TOKEN, Terminal

__all__ = ["MAX_COLUMNS", "MAX_ROWS", "WINDOW_BYTES", "Drawn", "draw", "held_back", "paint"]

# A larger terminal is drawn as one of this size.
MAX_ROWS, MAX_COLUMNS = 300, 1000

WINDOW_BYTES = 1 << 20  # of the end of a log: where modes are looked for
FEED_BYTES = 256 << 10
_MOST_TOKENS = 40_000
_LONGEST_COMMAND = 4096

_CUT_SHORT = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|[ -/]*|[\]PX^_][^\x07\x1b]*\x1b?)?\Z")
_HOME = r"\x1b\[(?:1?;?1?)[Hf]"
_EVENT = re.compile(
    r"(?P<reset>\x1bc)"
    r"|\x1b\[\?(?P<modes>[0-9;]+)(?P<on>[hl])"
    rf"|(?P<clear>{_HOME}(?:\x1b\[0?m|\x1b\(B)*\x1b\[[02]?J|\x1b\[2J(?:\x1b\[0?m|\x1b\(B)*{_HOME})"
    r"|\x1b\[(?P<margins>[0-9]*;?[0-9]*)r"
    r"|\x1b(?P<keypad>[=>])"
)
_CARET_STYLE = re.compile(r"\x1b\[[0-9]? q")
_ALTERNATE = {"47", "1047", "1049"}
# The caret's visibility, origin and wrapping have their own place in a painting; of the others these are no lasting
# state: 132 columns, the screens, the saved caret, synchronized output.
_NOT_PAINTED = {3, 6, 7, 25, 47, 1047, 1048, 1049, 2026}


@dataclass(frozen=True, slots=True)
class Drawn:
    """A terminal after a log's end was written to it."""

    terminal: Terminal
    held_back: int  # bytes at the end that are the beginning of a sequence or a character, and were left out

    @property
    def application_cursor(self) -> bool:
        """Whether the program wants application cursor keys."""
        return self.terminal.private_modes.get(APPLICATION_CURSOR, False)


@dataclass(slots=True)
class _State:
    """What is known about the terminal at some place, without having drawn it."""

    alternate: bool = False
    modes: dict[int, bool] = field(default_factory=dict)
    margins: str = ""
    keypad: bool = False


def draw(data: bytes, rows: int, columns: int, *, newline_returns: bool = False) -> Drawn:
    """Return the terminal that shows the end of an output.

    Args:
        data: the last WINDOW_BYTES of the output, or all of it.
        rows: height of the terminal.
        columns: width of the terminal.
        newline_returns: for the output of a pipe, see `Grid`.
    """
    held = held_back(data)
    text = data[: len(data) - held].decode("utf-8", "replace")
    events = list(_EVENT.finditer(text))
    start = max(_start(text, events), _beginning_of_line(text, len(text) - FEED_BYTES))
    tokens = list(TOKEN.finditer(text, start))[-_MOST_TOKENS:]
    if tokens:
        start = tokens[0].start()
    terminal = Terminal(min(rows, MAX_ROWS), min(columns, MAX_COLUMNS), newline_returns=newline_returns)
    _apply(_state_before(start, events), terminal)
    terminal.feed(TOKEN.finditer(_writing_before(start, text)))
    terminal.feed(tokens)
    return Drawn(terminal, held)


def held_back(data: bytes) -> int:
    """Return how many bytes at the end of `data` are the beginning of a sequence or of a character."""
    found = _CUT_SHORT.search(data, max(0, len(data) - _LONGEST_COMMAND))
    if found:
        return len(data) - found.start()
    for length in range(1, min(3, len(data)) + 1):
        lead = data[-length]
        if lead >= 0xC0:
            return length if length < (2 if lead < 0xE0 else 3 if lead < 0xF0 else 4) else 0
        if lead < 0x80:
            return 0
    return 0


def _start(text: str, events: "list[re.Match[str]]") -> int:
    """Return where the screen that is shown now was last empty; the beginning when it never was."""
    alternate: bool | None = None
    main = shown = 0
    for event in events:
        if event["reset"]:
            alternate, main = False, event.start()
        elif event["clear"]:
            if alternate:
                shown = event.start()
            else:
                main = event.start()
        elif event["modes"] and _ALTERNATE & set(event["modes"].split(";")):
            if event["on"] == "h" and not alternate:
                shown = event.start()
            elif event["on"] == "l" and alternate is None:
                main = event.end()  # the main screen of before is not known
            alternate = event["on"] == "h"
    return shown if alternate else main


def _beginning_of_line(text: str, position: int) -> int:
    """Return the first place from `position` on that is probably not within a sequence."""
    if position <= 0:
        return 0
    return text.find("\n", position, position + _LONGEST_COMMAND) + 1 or position


def _state_before(position: int, events: "list[re.Match[str]]") -> _State:
    state = _State()
    for event in events:
        if event.start() >= position:
            break
        if event["reset"]:
            state = _State()
        elif event["modes"]:
            on = event["on"] == "h"
            numbers = event["modes"].split(";")
            state.modes.update((int(number), on) for number in numbers if number and len(number) < 6)
            state.alternate = on if _ALTERNATE & set(numbers) else state.alternate
        elif event["margins"] is not None:
            state.margins = event["margins"]
        elif event["keypad"]:
            state.keypad = event["keypad"] == "="
    return state


def _writing_before(position: int, text: str) -> str:
    """Return what sets how text and the caret look, as it was at a position: the character sets, and the caret's style.

    Programs designate character sets with nearly everything that they write: these are no events, but searched for.
    """
    reset = text.rfind("\x1bc", 0, position) + 1
    places = [text.rfind(f"\x1b{which}", reset, position) for which in "()"]
    parts = [text[place : place + 3] for place in places if place >= 0]
    shifts_to_g1 = text.rfind("\x0e", reset, position) > text.rfind("\x0f", reset, position)
    styles = _CARET_STYLE.findall(text, reset, position)
    return "".join([*parts, "\x0e" if shifts_to_g1 else "", *styles[-1:]])


def _apply(state: _State, terminal: Terminal) -> None:
    for mode, on in state.modes.items():
        terminal.set_private_mode(mode, on)
    terminal.set_private_mode(1049, state.alternate)
    terminal.keypad = state.keypad
    terminal.feed(TOKEN.finditer(f"\x1b[{state.margins}r\x1b[H"))


# Before a painting: no caret, no wrapping, no margins, no colours, and letters that mean letters.
_EMPTY = "\x1b[?6l\x1b[?25l\x1b[?7l\x0f\x1b(B\x1b[0m\x1b[r\x1b[H\x1b[2J"

# --- painting --------------------------------------------------------------------------------------------------------


def paint(terminal: Terminal) -> bytes:
    """Return what makes another terminal of the same size show this one's picture, and be in the same modes."""
    grid = terminal.grid
    parts = ["\x1b[?1049h" if terminal.is_alternate else "", _EMPTY]
    parts += (f"\x1b[{y + 1}H{_row(grid, y)}" for y in range(grid.lines) if grid.buffer.get(y))
    parts += _modes(terminal)
    parts.append(_style(grid.cursor.attrs))
    parts += _writing(terminal)
    if grid.title:
        parts.append(f"\x1b]2;{grid.title}\x07")
    return "".join(parts).encode("utf-8", "replace")


def _row(grid: Grid, y: int) -> str:
    parts: list[str] = []
    style = _style(BLANK)
    for cell in grid.cells(y):
        if _style(cell) != style:
            style = _style(cell)
            parts.append(style)
        parts.append(cell.data)
    return "".join([*parts, "\x1b[0m"])


def _modes(terminal: Terminal) -> Iterator[str]:
    """Yield what sets the modes, and after them the caret, which some of them move."""
    grid = terminal.grid
    for mode, on in terminal.private_modes.items():
        if on and mode not in _NOT_PAINTED:
            yield f"\x1b[?{mode}h"
    if terminal.keypad:
        yield "\x1b="
    if pyte.modes.IRM in grid.mode:
        yield "\x1b[4h"
    y = grid.cursor.y
    if grid.margins not in (None, (0, grid.lines - 1)):
        assert grid.margins is not None
        yield f"\x1b[{grid.margins.top + 1};{grid.margins.bottom + 1}r"
        if pyte.modes.DECOM in grid.mode:
            yield "\x1b[?6h"
            y -= grid.margins.top
    yield f"\x1b[{y + 1};{min(grid.cursor.x, grid.columns - 1) + 1}H"
    if pyte.modes.DECAWM in grid.mode:
        yield "\x1b[?7h"
    if not grid.cursor.hidden:
        yield "\x1b[?25h"


def _writing(terminal: Terminal) -> Iterator[str]:
    """Yield what sets the character sets and the caret's style, where they are not the usual ones."""
    for which, charset in terminal.charsets.items():
        if charset != "B":
            yield f"\x1b{which}{charset}"
    if terminal.grid.charset:
        yield "\x0e"
    if terminal.caret_style:
        yield f"\x1b[{terminal.caret_style} q"


def _style(cell: Char) -> str:
    """Return the SGR sequence for how a cell looks."""
    on = (cell.bold, cell.italics, cell.underscore, cell.blink, cell.reverse, cell.strikethrough)
    codes = ["0", *(code for code, is_on in zip("134579", on, strict=True) if is_on)]
    if cell.fg != "default":
        codes.append(_FOREGROUND.get(cell.fg) or _colour(cell.fg, FG_256))
    if cell.bg != "default":
        codes.append(_BACKGROUND.get(cell.bg) or _colour(cell.bg, FG_256 + 10))
    return f"\x1b[{';'.join(codes)}m"


def _colour(name: str, selector: int) -> str:
    """Return the parameters for a colour that pyte keeps as RRGGBB: its number where it is one of the 256."""
    number = _NUMBERS.get(name)
    if number is not None:
        return f"{selector};5;{number}"
    try:
        red, green, blue = bytes.fromhex(name)
    except ValueError:  # a job asked for more than 255 of something
        return "39" if selector == FG_256 else "49"
    return f"{selector};2;{red};{green};{blue}"


_FOREGROUND = {name: str(code) for code, name in {**FG_ANSI, **FG_AIXTERM}.items()}
_BACKGROUND = {name: str(code) for code, name in {**BG_ANSI, **BG_AIXTERM}.items()}
_NUMBERS = {name: number for number, name in reversed(list(enumerate(FG_BG_256)))}
