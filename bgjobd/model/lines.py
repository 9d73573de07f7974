"""From bytes that come in pieces to lines with their cursors. Pure, memory bounded by the longest line it keeps whole.

A line ends with a newline, at a gap or at the end. Only "\\n" counts: a progress bar that redraws itself with "\\r" is
one line.
"""

from dataclasses import dataclass

# A line longer than this comes in several pieces; the end of one is repeated as the beginning of the next, so that
# what lies across the cut is whole in one of them.
MAX_LINE_BYTES = 1 << 20
OVERLAP_BYTES = 4 << 10


@dataclass(frozen=True, slots=True)
class LineBatch:
    """Some lines that follow each other: joined by newlines, without the last one's."""

    line_number: int  # of the first line; from 1
    line_cursor: int  # of the first byte of the first line
    data: bytes
    column: int = 0  # where in its line the data begins: not 0 for a later piece of a long line, which is alone
    unfinished: bool = False  # the line goes on in the next batch


class LineSplitter:
    """Takes pieces of output and gives back the lines they complete."""

    __slots__ = ("_column", "_line", "_line_cursor", "_max_line_bytes", "_number", "_overlap")

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._max_line_bytes = max_line_bytes
        self._overlap = min(OVERLAP_BYTES, max_line_bytes // 2)
        self._number = 1  # of the line that is pending, or comes next
        self._line = b""  # the pending line, or the last piece of it
        self._line_cursor = 0
        self._column = 0

    def feed(self, cursor: int, data: bytes) -> list[LineBatch]:
        """Take the bytes at `cursor`; return the lines that are complete now, and long ones as far as they are there.

        What comes between two calls need not be contiguous (one stream of two); at a gap call `finish` first.
        """
        batches = []
        if self._line or self._column:
            end = data.find(b"\n")
            if end < 0:
                self._line += data
                return self._pieces()
            self._line += data[:end]
            batches = [*self._pieces(), *self.finish()]
            cursor, data = cursor + end + 1, data[end + 1 :]
        last = data.rfind(b"\n")
        if last >= 0:
            batches.append(LineBatch(self._number, cursor, data[:last]))
            self._number += data.count(b"\n")
        self._line, self._line_cursor = data[last + 1 :], cursor + last + 1
        return batches + self._pieces()

    def finish(self) -> list[LineBatch]:
        """Return the pending line, if there is one: a gap or the end follows, or its newline."""
        if not (self._line or self._column):
            return []
        batch = LineBatch(self._number, self._line_cursor, self._line, self._column)
        self._number += 1
        self._line, self._column = b"", 0
        return [batch]

    def _pieces(self) -> list[LineBatch]:
        """Return what is too much to keep of the pending line."""
        batches = []
        while len(self._line) > self._max_line_bytes:
            piece = self._line[: self._max_line_bytes]
            batches.append(LineBatch(self._number, self._line_cursor, piece, self._column, unfinished=True))
            step = self._max_line_bytes - self._overlap
            self._line, self._column = self._line[step:], self._column + step
        return batches
