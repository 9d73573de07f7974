"""What a terminal shows after a job wrote these bytes: colours gone, progress in its final state, repeats folded.

Lines are looked at one by one, so that each result still knows its bytes. Four cases, from the common and fast one to
the rare one: plain; with colours; with carriage returns; with cursor movement, which may change lines above (`screen`).
"""

import re
from itertools import groupby

from bgjob_mcp.render.pieces import Gap, GapReason, Item, Piece, Stretch
from bgjob_mcp.render.screen import MAX_ROWS, Screen

__all__ = ["held_back", "resolve", "resolve_raw"]

# Longer lines become several pieces, so that head and tail of one can be shown.
_CHUNK = 4096
# A job that draws all its lines again for each byte it writes could keep us busy for hours. After this many characters
# its lines stay as they are; 500 screens of 8,000 characters are within it.
_MOST_TAKEN_BACK = 4_000_000

_CSI = rb"\x1b\[(?P<parameters>[0-?]*)[ -/]*(?P<final>[@-~])"
# Strings for the terminal itself: titles, links, images. Without their terminator they are shown, never hidden.
_STRING = rb"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[PX^_][^\x1b]*\x1b\\"
_C1 = rb"\xc2[\x80-\x9f]"  # control characters of ISO 6429 above ASCII, as UTF-8
_TEXT = rb"(?:[\t\x20-\x7e\x80-\xc1\xc3-\xff]|\xc2(?![\x80-\x9f]))+"

_SPECIAL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|" + _C1)
# Everything that leaves no trace on the line it is written to, when written left to right.
_TRACELESS = re.compile(_STRING + rb"|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-~]|[\x00-\x07\x0b-\x1f\x7f]|" + _C1)
# Back-space, cursor movement, erasing other than to the end of the line, insertion, alternate screen, save and restore.
_MOVES = re.compile(rb"\x08|\x1b\[[0-9;]*[A-HJLMPSTX@`adefsu]|\x1b\[[12]K|\x1b\[\?(?:47|1047|1049)[hl]|\x1b[78cDEM]")
_ERASES = re.compile(rb"\x1b\[0?K")
_TOKEN = re.compile(
    rb"(?P<text>" + _TEXT + rb")|(?P<string>" + _STRING + rb")|(?P<csi>" + _CSI + rb")"
    rb"|\x1b(?P<escape>[ -/]*[0-~])|" + _C1 + rb"|(?P<control>.)",
    re.DOTALL,
)
_CUT_SHORT = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|[ -/]*|\][^\x07\x1b\n]{0,256}\x1b?)?\Z")
_ALTERNATE_SCREEN = (b"?47", b"?1047", b"?1049")


def resolve(stretch: Stretch) -> list[Item]:
    """Return what a terminal would show of `stretch`; the result covers it exactly."""
    if stretch.base is not None and _SPECIAL.search(stretch.data) is None:
        return _plain_lines(stretch.data, stretch.base)
    return _Resolver(stretch).run()


def resolve_raw(stretch: Stretch) -> list[Item]:
    """Return the bytes as they are, line by line, bytes that are not UTF-8 as `\\xNN`."""
    items: list[Item] = []
    position = 0
    for line in stretch.data.split(b"\n"):
        for start, end in _chunks(line):
            ended = end == len(line) and position + end < len(stretch.data)
            if end > start or ended:
                text = line[start:end].decode("utf-8", "backslashreplace")
                items.append(_piece(stretch, position + start, position + end + ended, text, ended))
        position += len(line) + 1
    return items


def held_back(data: bytes) -> int:
    """Return how many bytes at the end of `data` are the beginning of a character or of a terminal code.

    They are left for the next reading, so that a cursor never stands within a character.
    """
    found = _CUT_SHORT.search(data, max(0, len(data) - 300))
    if found:
        return len(data) - found.start()
    for length in range(1, min(3, len(data)) + 1):
        lead = data[-length]
        if lead >= 0xC0:
            return length if length < (2 if lead < 0xE0 else 3 if lead < 0xF0 else 4) else 0
        if lead < 0x80:
            return 0
    return 0


def _piece(stretch: Stretch, start: int, end: int, text: str, ended: bool) -> Piece:
    return Piece(stretch.start(start), stretch.end(end), end - start, text, ended)


def _chunks(line: bytes) -> list[tuple[int, int]]:
    """Return where to cut a line so that no part is much over _CHUNK and no character or terminal code is cut."""
    cuts = []
    start = 0
    while len(line) - start > _CHUNK:
        end = start + _CHUNK
        end -= held_back(line[start:end])
        cuts.append((start, end))
        start = end
    return [*cuts, (start, len(line))]


def _plain(line: bytes) -> str:
    return line.decode("utf-8", "replace")


def _plain_lines(data: bytes, base: int) -> list[Item]:
    """The common case of `_Resolver`, several times as fast: nothing but text, and nothing of the other stream."""
    items: list[Item] = []
    lines = data.split(b"\n")
    rest = lines.pop()
    start = base
    for line, same in groupby(lines):
        times = len(list(same))
        size = (len(line) + 1) * times
        if len(line) > _CHUNK:
            for _ in range(times):
                items += _long_line(line, start, ended=True)
                start += len(line) + 1
        else:
            items.append(Piece(start, start + size, size, line.decode("utf-8", "replace"), True, times))
            start += size
    if rest:
        items += _long_line(rest, start, ended=False)
    return items


def _long_line(line: bytes, base: int, *, ended: bool) -> list[Piece]:
    pieces = []
    for start, end in _chunks(line):
        last = ended and end == len(line)
        pieces.append(Piece(base + start, base + end + last, end - start + last, _plain(line[start:end]), last))
    return pieces


class _Resolver:
    """Goes through a stretch line by line."""

    def __init__(self, stretch: Stretch) -> None:
        self._stretch = stretch
        self._items: list[Item] = []
        self._screen: Screen | None = None
        self._screen_start = 0  # position of the first byte that the screen stands for
        self._frame_index: int | None = None  # items since the screen was cleared
        self._frame_start = 0
        self._taken_back = 0  # characters

    def run(self) -> list[Item]:
        data = self._stretch.data
        position, size = 0, len(data)
        while position < size:
            newline = data.find(b"\n", position)
            ended = newline >= 0
            line = data[position : newline if ended else size]
            after = newline + 1 if ended else size
            if self._screen is None and _SPECIAL.search(line) is None:
                self._add(position, after, line, ended)
            else:
                self._special(position, after, line, ended)
            position = after
        self._close_screen(size, ended=data.endswith(b"\n"))
        return self._items

    def _special(self, position: int, after: int, line: bytes, ended: bool) -> None:
        line = line.rstrip(b"\r") if ended else line
        if self._screen is not None or _MOVES.search(line):
            self._on_screen(position, after, line, ended)
        elif b"\r" in line:
            self._emit(position, after, _overwritten(line), ended)
        else:
            self._add(position, after, line, ended)

    def _add(self, position: int, after: int, line: bytes, ended: bool) -> None:
        """Add a line that is written from left to right."""
        for start, end in _chunks(line) if len(line) > _CHUNK else ((0, len(line)),):
            part = line[start:end]
            text = _plain(part if _SPECIAL.search(part) is None else _TRACELESS.sub(b"", part))
            last = end == len(line)
            self._emit(position + start, after if last else position + end, text, ended and last)

    def _emit(self, start: int, end: int, text: str, ended: bool) -> None:
        """Add a piece, or fold it into the one before when that says the same."""
        # What was written before the screen was cleared stays apart: all after it may yet be replaced.
        last = self._items[-1] if len(self._items) > (self._frame_index or 0) else None
        if isinstance(last, Piece) and last.text == text and ended and last.ended and "\n" not in text:
            folded = Piece(last.start, self._stretch.end(end), last.size + end - start, text, True, last.times + 1)
            self._items[-1] = folded
        else:
            self._items.append(_piece(self._stretch, start, end, text, ended))

    # --- cursor movement ---------------------------------------------------------------------------------------------

    def _on_screen(self, position: int, after: int, line: bytes, ended: bool) -> None:
        if self._screen is None:
            self._screen, self._screen_start = Screen(self._take_back), position
        for token in _TOKEN.finditer(line):
            self._apply(token, position + token.start())
        if ended:
            self._newline(after)

    def _newline(self, after: int) -> None:
        assert self._screen is not None
        self._screen.newline()
        if self._screen.at_new_row:
            self._close_screen(after, ended=True)

    def _close_screen(self, position: int, *, ended: bool) -> None:
        """Turn the rows into a piece: nothing is being changed any more."""
        screen, self._screen = self._screen, None
        if screen is not None and position > self._screen_start:
            if ended and screen.at_new_row:
                screen.rows.pop()  # it is the next line's
            self._emit(self._screen_start, position, screen.text(), ended)

    def _take_back(self) -> list[str]:
        """Give the screen the rows of the piece above it."""
        index = len(self._items) - 1
        last = self._items[index] if index >= (self._frame_index or 0) else None
        if not isinstance(last, Piece) or not last.ended or last.times > MAX_ROWS:
            return []
        self._taken_back += len(last.text) * last.times
        if self._taken_back > _MOST_TAKEN_BACK:
            return []
        del self._items[index]
        self._screen_start -= last.size
        return last.text.split("\n") * last.times

    def _clear(self, position: int) -> None:
        """Begin a new screen. What was there at the first time stays; from then on screens replace each other."""
        frame = self._frame_index
        if frame is None or not self._blank_since(frame):
            self._close_screen(position, ended=True)
            if frame is not None:
                self._replace_frame(frame, position)
            self._frame_start = position
        else:
            del self._items[frame:]
        self._frame_index = len(self._items)
        self._screen, self._screen_start = Screen(self._take_back), self._frame_start

    def _blank_since(self, index: int) -> bool:
        """Whether nothing can be seen of what was written since the screen was cleared."""
        shown = [item.text for item in self._items[index:] if isinstance(item, Piece)]
        if self._screen is not None:
            shown.append(self._screen.text())
        return not any(text.strip() for text in shown)

    def _replace_frame(self, index: int, position: int) -> None:
        """Put a gap in the place of a screen that was cleared, or widen the gap that is already there."""
        first = self._frame_start
        del self._items[index:]
        if self._items and isinstance(self._items[-1], Gap):
            first -= self._items.pop().size
        start, end = self._stretch.start(first), self._stretch.end(position)
        self._items.append(Gap(start, end, position - first, GapReason.CLEARED))

    def _apply(self, token: "re.Match[bytes]", position: int) -> None:
        screen = self._screen
        assert screen is not None
        kind = token.lastgroup
        if kind == "text":
            screen.write(_plain(token[0]))
        elif token["csi"] is not None:
            self._control(screen, token["final"], token["parameters"], position)
        elif kind == "control":
            if token[0] == b"\r":
                screen.column = 0
            elif token[0] == b"\x08":
                screen.go_to_column(screen.column - 1)
        elif kind == "escape":
            self._escape(screen, token["escape"], position)

    def _escape(self, screen: Screen, code: bytes, position: int) -> None:
        if code == b"7":
            screen.save()
        elif code == b"8":
            screen.restore()
        elif code == b"c":
            self._clear(position)
        elif code == b"M":
            screen.up(1)
        elif code in (b"D", b"E"):
            screen.newline()

    def _control(self, screen: Screen, final: bytes, parameters: bytes, position: int) -> None:
        if final in (b"h", b"l"):
            if parameters in _ALTERNATE_SCREEN:
                self._clear(position)
            return
        numbers = [int(number[:4]) if number.isdigit() else 0 for number in parameters.split(b";")]
        first = numbers[0]
        count = max(first, 1)
        if final in (b"H", b"f"):
            if self._frame_index is None:
                self._clear(position)
                screen = self._screen or screen
            screen.home(count - 1, max(numbers[1], 1) - 1 if len(numbers) > 1 else 0)
        elif final == b"J" and first >= 2:
            self._clear(position)
        else:
            _move(screen, final, first, count)


def _move(screen: Screen, final: bytes, first: int, count: int) -> None:
    """Carry out a control sequence that concerns only the rows at hand."""
    if final in (b"A", b"F"):
        screen.up(count)
    elif final in (b"B", b"E", b"e"):
        screen.down(count)
    elif final in (b"C", b"a"):
        screen.go_to_column(screen.column + count)
    elif final == b"D":
        screen.go_to_column(screen.column - count)
    elif final in (b"G", b"`"):
        screen.go_to_column(count - 1)
    elif final == b"K":
        screen.erase_line(first)
    elif final == b"J" and first == 0:
        screen.erase_below()
    elif final == b"X":
        screen.erase_characters(count)
    elif final == b"P":
        screen.delete_characters(count)
    elif final == b"@":
        screen.insert_blanks(count)
    elif final == b"s":
        screen.save()
    elif final == b"u":
        screen.restore()
    if final in (b"E", b"F"):
        screen.column = 0


def _overwritten(line: bytes) -> str:
    """Return what remains of a line that was written over itself, from carriage return to carriage return."""
    parts = line.split(b"\r")
    first = next((index for index in range(len(parts) - 1, 0, -1) if _ERASES.search(parts[index])), 0)
    row = ""
    for part in reversed(parts[first:]):  # what was written later lies over what was there
        if len(part) > len(row):
            row += _plain(_TRACELESS.sub(b"", part))[len(row) :]
    return row
