"""The lines a job went back to: a terminal's memory, as far as programs that redraw their progress need it.

Understands cursor movement, erasing and clearing (ECMA-48 and what xterm made of it). The screen is far wider than a
real one, so that nothing is wrapped that a log would have on one line, and each character is one column wide; what a
job can make it hold is bounded all the same. Tests compare it with pyte, a full terminal; that is too slow to be used
here (0.13 MB/s measured, this is a hundred times that).
"""

from collections.abc import Callable

__all__ = ["MAX_ROWS", "Screen"]

MAX_ROWS = 200  # how far up a job may go back; more than any terminal shows
MAX_COLUMNS = 4096  # further right is the next row


class Screen:
    """Rows that are still being changed.

    `take_back` returns rows from above the first one, or nothing when there are none.
    """

    __slots__ = ("_saved", "_take_back", "column", "row", "rows")

    def __init__(self, take_back: Callable[[], list[str]]) -> None:
        self.rows = [""]
        self.row = 0
        self.column = 0
        self._saved = (0, 0)
        self._take_back = take_back

    @property
    def at_new_row(self) -> bool:
        """Whether the cursor is in a last row that is still empty: what comes next is a new line."""
        return 0 < self.row == len(self.rows) - 1 and not self.rows[-1]

    def write(self, text: str) -> None:
        """Put `text` at the cursor, over what is there."""
        while len(text) > (room := MAX_COLUMNS - self.column):
            self._put(text[:room])
            self.newline()
            text = text[room:]
        self._put(text)

    def _put(self, text: str) -> None:
        row, column = self.rows[self.row], self.column
        if len(row) < column:
            row = row.ljust(column)
        self.column = column + len(text)
        self.rows[self.row] = row[:column] + text + row[self.column :]

    def newline(self) -> None:
        """Go to the start of the next row, as a terminal does with the newline of a program."""
        self.row += 1
        self.column = 0
        if self.row == len(self.rows):
            self.rows.append("")

    def up(self, count: int) -> None:
        """Go up, taking rows back where needed, but not above what can be taken back."""
        self.row -= count
        while self.row < 0 and len(self.rows) < MAX_ROWS:
            above = self._take_back()
            if not above:
                break
            self.rows[:0] = above
            self.row += len(above)
            self._saved = (self._saved[0] + len(above), self._saved[1])
        self.row = max(self.row, 0)

    def down(self, count: int) -> None:
        """Go down, but not below the last row."""
        self.row = min(self.row + count, len(self.rows) - 1)

    def go_to_column(self, column: int) -> None:
        """Go to a column of this row, counted from 0, as far as there are any."""
        self.column = min(max(column, 0), MAX_COLUMNS)

    def home(self, row: int, column: int) -> None:
        """Go to `row` and `column`, counted from 0, of the rows since the screen was last cleared."""
        self.up(MAX_ROWS)
        self.row = min(row, MAX_ROWS - 1)
        self.go_to_column(column)
        while len(self.rows) <= self.row:
            self.rows.append("")

    def save(self) -> None:
        """Remember where the cursor is."""
        self._saved = (self.row, self.column)

    def restore(self) -> None:
        """Go back to where the cursor was."""
        self.row, self.column = min(self._saved[0], len(self.rows) - 1), self._saved[1]

    def erase_line(self, mode: int) -> None:
        """Erase the row right of the cursor (0), left of it (1), or all of it (2)."""
        row = self.rows[self.row]
        if mode == 0:
            self.rows[self.row] = row[: self.column]
        elif mode == 1:
            self.rows[self.row] = " " * min(self.column + 1, len(row)) + row[self.column + 1 :]
        else:
            self.rows[self.row] = ""

    def erase_below(self) -> None:
        """Erase what is right of the cursor and all rows below."""
        self.erase_line(0)
        del self.rows[self.row + 1 :]

    def erase_characters(self, count: int) -> None:
        """Blank `count` characters from the cursor on."""
        row = self.rows[self.row]
        blanks = " " * max(0, min(count, len(row) - self.column))
        self.rows[self.row] = row[: self.column] + blanks + row[self.column + count :]

    def delete_characters(self, count: int) -> None:
        """Take out `count` characters from the cursor on; the rest moves left."""
        row = self.rows[self.row]
        self.rows[self.row] = row[: self.column] + row[self.column + count :]

    def insert_blanks(self, count: int) -> None:
        """Put `count` blanks in at the cursor; the rest moves right."""
        row = self.rows[self.row].ljust(self.column)
        self.rows[self.row] = (row[: self.column] + " " * count + row[self.column :])[:MAX_COLUMNS]

    def text(self) -> str:
        """Return the rows, without the blanks at their ends."""
        return "\n".join(row.rstrip() for row in self.rows)
