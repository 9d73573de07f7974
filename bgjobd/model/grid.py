"""The cells of a terminal that exists only as a picture: text, colours, caret, scrolling, erasing. Pure.

pyte keeps them. What it does otherwise than xterm, or slowly, is overridden: rows are sparse, scrolling moves rows as a
list, erased cells keep only their background, one caret is saved and not a stack of them, and nothing can raise.

Must only be imported where a screen is asked for: with pyte it costs the daemon some 3 MiB.
"""

import copy
from collections.abc import Iterator

import pyte.charsets  # noqa: TID253  # this file is imported only when somebody asks for a screen
import pyte.modes  # noqa: TID253  # likewise
import pyte.screens  # noqa: TID253  # likewise
from pyte.screens import wcwidth  # noqa: TID253  # likewise; its cache is shared

__all__ = ["BLANK", "Grid", "Row"]

# A cell that was never written, or was erased without a colour, does not exist.
Row = pyte.screens.StaticDefaultDict[int, pyte.screens.Char]
BLANK = pyte.screens.Char(" ")

_MOST_CODE_POINTS = 8  # in one cell: a character with its accents


class Grid(pyte.screens.Screen):
    """Rows and columns of cells, and a caret.

    Args:
        rows: its height.
        columns: its width.
        newline_returns: whether a line feed also goes to the first column, as the line discipline of a real terminal
            sees to; for the output of a pipe.
    """

    def __init__(self, rows: int, columns: int, *, newline_returns: bool = False) -> None:
        self.last_drawn = ""
        self._newline_returns = newline_returns
        super().__init__(columns, rows)
        self._return_at_newline()

    def text(self) -> list[str]:
        """Return its rows without the blanks at their ends."""
        return ["".join(cell.data for cell in self.cells(y)).rstrip() for y in range(self.lines)]

    def cells(self, y: int) -> Iterator[pyte.screens.Char]:
        """Yield the cells of a row up to the last one that is not blank.

        A wide character is followed by a cell without text. Of one that was half overwritten a blank is left.
        """
        row = self.buffer.get(y)
        last = max((x for x, cell in row.items() if cell != BLANK), default=-1) if row else -1
        was_wide = False
        for x in range(min(last + 1, self.columns)):
            cell = self.buffer[y][x]
            is_wide = bool(cell.data) and wcwidth(cell.data[0]) == 2
            if (not cell.data and not was_wide) or (is_wide and self.buffer[y][x + 1].data):
                cell, is_wide = cell._replace(data=" "), False
            yield cell
            was_wide = is_wide

    def scroll_region(self, count: int) -> None:
        """Move what stands between the margins up by `count` rows, or down when it is negative."""
        self._scroll(*self._margins(), count)

    # --- text ----------------------------------------------------------------------------------------------------

    def draw(self, data: str) -> None:
        """Write text at the caret. What has no width and combines with nothing is left out."""
        data = data.translate(self.g1_charset if self.charset else self.g0_charset)
        attributes, row = self.cursor.attrs, self.buffer[self.cursor.y]
        for character in data:
            width = 1 if character < "\x7f" else wcwidth(character)
            if width < 1:
                self._combine(character, row)
                continue
            if self.cursor.x + width > self.columns:
                row = self._wrap(width)
            if pyte.modes.IRM in self.mode:
                self.insert_characters(width)
            row[self.cursor.x] = attributes._replace(data=character)
            if width == 2:
                row[self.cursor.x + 1] = attributes._replace(data="")
            self.cursor.x += width
            self.last_drawn = character

    def insert_characters(self, count: int | None = None) -> None:
        """Push what stands at the caret to the right; what comes beyond the margin is gone.

        pyte keeps one column too many, so that a wide character that is half gone would still count as a whole one.
        """
        super().insert_characters(count)
        row = self.buffer[self.cursor.y]
        right_half = row.pop(self.columns, BLANK)
        if right_half.data == "":
            row[self.columns - 1] = row[self.columns - 1]._replace(data=" ")

    def _wrap(self, width: int) -> Row:
        """Make room for a character at the right margin; return the row that it goes to."""
        if pyte.modes.DECAWM in self.mode and width <= self.columns:
            self.carriage_return()
            self.index()
        else:
            self.cursor.x = max(0, self.columns - width)
        return self.buffer[self.cursor.y]

    def _combine(self, character: str, row: Row) -> None:
        """Put an accent on the character to the left."""
        x = self.cursor.x - 1
        if x > 0 and row[x].data == "":
            x -= 1  # the right half of a wide character
        if x >= 0 and character.isprintable() and 0 < len(row[x].data) < _MOST_CODE_POINTS:
            row[x] = row[x]._replace(data=row[x].data + character)

    def reset(self) -> None:
        """Go back to the beginning."""
        super().reset()
        self.savepoints.clear()
        self.g1_charset = pyte.charsets.LAT1_MAP
        self._return_at_newline()

    def _return_at_newline(self) -> None:
        if self._newline_returns:
            self.mode.add(pyte.modes.LNM)

    # --- the caret -----------------------------------------------------------------------------------------------

    def cursor_up(self, count: int | None = None) -> None:
        """Go up, not beyond the top margin if the caret is below it."""
        top, _ = self._margins()
        self.cursor.y = max(self.cursor.y - (count or 1), top if self.cursor.y >= top else 0)
        self.ensure_hbounds()

    def cursor_down(self, count: int | None = None) -> None:
        """Go down, not beyond the bottom margin if the caret is above it."""
        _, bottom = self._margins()
        self.cursor.y = min(self.cursor.y + (count or 1), bottom if self.cursor.y <= bottom else self.lines - 1)
        self.ensure_hbounds()

    def cursor_to_line(self, line: int | None = None) -> None:
        """Go to a row, from 1, in the same column."""
        self.cursor_position(line, min(self.cursor.x, self.columns - 1) + 1)

    def save_cursor(self) -> None:
        """Remember where the caret is. There is one such place, not a stack of them."""
        self.savepoints.clear()
        super().save_cursor()

    def restore_cursor(self) -> None:
        """Put the caret back where it was, as often as is asked for."""
        kept = [saved._replace(cursor=copy.copy(saved.cursor)) for saved in self.savepoints]
        super().restore_cursor()
        self.savepoints = kept
        if kept:  # pyte keeps it between the margins, where it need not have been
            self.cursor.y = min(kept[0].cursor.y, self.lines - 1)

    def tab_back(self, count: int) -> None:
        """Go left to a tab stop."""
        for _ in range(min(count, self.columns)):
            self.cursor.x = max((stop for stop in self.tabstops if stop < self.cursor.x), default=0)

    # --- scrolling -----------------------------------------------------------------------------------------------

    def index(self) -> None:
        """Go down one row; at the bottom margin scroll."""
        top, bottom = self._margins()
        if self.cursor.y == bottom:
            self._scroll(top, bottom, 1)
        else:
            self.cursor.y = min(self.cursor.y + 1, self.lines - 1)

    def reverse_index(self) -> None:
        """Go up one row; at the top margin scroll."""
        top, bottom = self._margins()
        if self.cursor.y == top:
            self._scroll(top, bottom, -1)
        else:
            self.cursor.y = max(self.cursor.y - 1, 0)

    def insert_lines(self, count: int | None = None) -> None:
        """Insert rows at the caret."""
        top, bottom = self._margins()
        if top <= self.cursor.y <= bottom:
            self._scroll(self.cursor.y, bottom, -(count or 1))
            self.carriage_return()

    def delete_lines(self, count: int | None = None) -> None:
        """Take out rows at the caret."""
        top, bottom = self._margins()
        if top <= self.cursor.y <= bottom:
            self._scroll(self.cursor.y, bottom, count or 1)
            self.carriage_return()

    def _margins(self) -> tuple[int, int]:
        return (self.margins.top, self.margins.bottom) if self.margins else (0, self.lines - 1)

    def _scroll(self, top: int, bottom: int, count: int) -> None:
        """Move rows up, or down when `count` is negative; those that move out are gone."""
        height = bottom - top + 1
        count = max(-height, min(count, height))
        rows: list[Row | None] = [self.buffer.pop(y, None) for y in range(top, bottom + 1)]
        fresh: list[Row | None] = [None] * abs(count)
        rows = rows[count:] + fresh if count > 0 else fresh + rows[: height + count]
        for y, row in enumerate(rows, top):
            if row is not None:
                self.buffer[y] = row
        coloured = self._erased_cell() is not BLANK
        for y in range(bottom - count + 1, bottom + 1) if count > 0 else range(top, top - count):
            if coloured:
                self._erase(y, 0, self.columns)

    # --- erasing -------------------------------------------------------------------------------------------------

    def erase_in_line(self, how: int = 0, private: bool = False) -> None:
        """Erase the row right of the caret (0), left of it (1), or all of it (2)."""
        x = min(self.cursor.x, self.columns - 1)
        begin, end = {0: (x, self.columns), 1: (0, x + 1), 2: (0, self.columns)}.get(how, (0, 0))
        self._erase(self.cursor.y, begin, end)

    def erase_in_display(self, how: int = 0, *args: object, **kwargs: object) -> None:
        """Erase below the caret (0), above it (1), or everything (2). What scrolled out (3) is not here."""
        if how in (0, 1):
            self.erase_in_line(how)
        begin, end = {0: (self.cursor.y + 1, self.lines), 1: (0, self.cursor.y), 2: (0, self.lines)}.get(how, (0, 0))
        for y in range(begin, end):
            self._erase(y, 0, self.columns)

    def erase_characters(self, count: int | None = None) -> None:
        """Erase some cells from the caret on."""
        self._erase(self.cursor.y, self.cursor.x, min(self.cursor.x + (count or 1), self.columns))

    def _erase(self, y: int, begin: int, end: int) -> None:
        """Erase cells of one row. They keep the background colour and nothing else, as on xterm."""
        cell = self._erased_cell()
        if cell is not BLANK:
            self.buffer[y].update(dict.fromkeys(range(begin, end), cell))
        elif y in self.buffer:
            row = self.buffer[y]
            for x in [x for x in row if begin <= x < end]:
                del row[x]

    def _erased_cell(self) -> pyte.screens.Char:
        background = self.cursor.attrs.bg
        return BLANK if background == "default" else BLANK._replace(bg=background)
