"""The parts that output is made of on its way to text. Each knows which bytes of the log it stands for.

The invariant of this package: the pieces and gaps of a view, in order, cover every byte of what was asked for, once.
"""

from bisect import bisect_right
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

__all__ = ["Gap", "GapReason", "Item", "Piece", "Stretch"]


class GapReason(StrEnum):
    """Why bytes are not shown."""

    DROPPED = "dropped"  # no longer kept: the log has a size limit
    BUDGET = "budget"  # the answer has one
    CLEARED = "cleared"  # the job cleared its screen


class Piece(NamedTuple):
    """A line, part of a very long one, or the final state of several lines that were redrawn."""

    start: int  # cursor of its first byte
    end: int  # cursor after its last byte, its newline included
    size: int  # bytes it stands for; less than end - start when bytes of the other stream lie between
    text: str  # without the newline at its end; inner ones only where lines were redrawn together
    ended: bool = True  # whether a newline followed
    times: int = 1  # how many identical lines in a row it stands for
    missing: int = 0  # bytes of the text that are left out of it, which it says itself


class Gap(NamedTuple):
    """Bytes that are not shown."""

    start: int
    end: int
    size: int
    reason: GapReason


Item = Piece | Gap


class Stretch:
    """Bytes without a gap between them, of both streams or of one, that know their cursors."""

    __slots__ = ("_offsets", "_positions", "data")

    def __init__(self, parts: Sequence[tuple[int, bytes]]) -> None:
        """Join `parts`, each with the cursor of its first byte."""
        self.data = b"".join(data for _, data in parts)
        self._positions: list[int] = []
        self._offsets: list[int] = []
        position = 0
        for offset, data in parts:
            expected = self._offsets[-1] + position - self._positions[-1] if self._offsets else -1
            if offset != expected:  # neighbours in the log need no entry of their own
                self._positions.append(position)
                self._offsets.append(offset)
            position += len(data)

    @property
    def base(self) -> int | None:
        """The cursor of the first byte when no other bytes lie between, so that cursors are positions plus this."""
        return self._offsets[0] if len(self._offsets) == 1 else None

    def start(self, position: int) -> int:
        """Return the cursor of the byte at `position`."""
        index = bisect_right(self._positions, position) - 1
        return self._offsets[index] + position - self._positions[index]

    def end(self, position: int) -> int:
        """Return the cursor after the last byte before `position`."""
        return self.start(position - 1) + 1 if position else self._offsets[0]

    def cut(self, start: int, end: int) -> "Stretch":
        """Return the part from position `start` up to `end`."""
        parts = []
        for index, position in enumerate(self._positions):
            after = self._positions[index + 1] if index + 1 < len(self._positions) else len(self.data)
            first, last = max(position, start), min(after, end)
            if first < last:
                parts.append((self._offsets[index] + first - position, self.data[first:last]))
        return Stretch(parts)
