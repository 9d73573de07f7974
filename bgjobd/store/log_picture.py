"""What was kept of a log at one moment: its segments, and the holes between them.

A log goes on while it is read: it grows, and whole segments go from its middle. A picture does not: the offsets it
covers stay the same, only a segment may turn out to be gone when it is opened.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from bgjobd.runner.logfile import Segment, list_segments
from bgjobd.store.segment_file import SegmentFile


@dataclass(frozen=True, slots=True)
class Piece:
    """A range of offsets that lies in one segment, or (None) in a hole."""

    start: int
    end: int
    segment: Segment | None


class LogPicture:
    """The segments of a log as they were when this was made. A context manager: it holds one segment open."""

    __slots__ = ("_log_dir", "_open", "_open_start", "_segments", "end")

    def __init__(self, log_dir: str) -> None:
        """Take the picture.

        Raises:
            OSError: the directory cannot be read. A missing one is an empty log.
        """
        self._log_dir = log_dir
        self._open: SegmentFile | None = None
        self._open_start = -1
        self._segments = list_segments(log_dir)
        self.end = self._segments[-1].end if self._segments else 0

    def __enter__(self) -> "LogPicture":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the segment that is open; a second call does nothing."""
        if self._open is not None:
            self._open.close()
            self._open = None

    @property
    def kept_bytes(self) -> int:
        """How many bytes there are."""
        return sum(segment.end - segment.start for segment in self._segments)

    def kept_ranges(self) -> list[tuple[int, int]]:
        """Return the ranges of offsets that are kept, in order; neighbours do not touch."""
        ranges: list[tuple[int, int]] = []
        for piece in self.pieces(0, self.end):
            if piece.segment is None:
                continue
            if ranges and ranges[-1][1] == piece.start:
                ranges[-1] = (ranges[-1][0], piece.end)
            else:
                ranges.append((piece.start, piece.end))
        return ranges

    def pieces(self, start: int, end: int) -> Iterator[Piece]:
        """Yield kept and missing pieces that cover `start`..`end` exactly, in order."""
        position = start
        for segment in self._segments:
            for piece_end, of in ((min(segment.start, end), None), (min(segment.end, end), segment)):
                if position < piece_end:
                    yield Piece(position, piece_end, of)
                    position = piece_end

    def open(self, piece: Piece) -> SegmentFile | None:
        """Open the segment of a piece; None when it is a hole, or has become one since.

        It stays open until another one is opened, or the picture is closed; opening it again costs nothing.

        Raises:
            OSError: it is there and cannot be opened.
        """
        if piece.segment is None:
            return None
        if self._open is None or self._open_start != piece.segment.start:
            self.close()
            try:
                self._open = SegmentFile(self._log_dir, piece.segment)
            except FileNotFoundError:
                return None
            self._open_start = piece.segment.start
        return self._open

    def last_time_ns(self) -> int:
        """Return when the last bytes arrived, to 10 ms; 0: never, or unknown."""
        for segment in reversed(self._segments):
            if segment.start < segment.end:
                file = self.open(Piece(segment.start, segment.end, segment))
                if file is not None:
                    return file.last_time_ns()
        return 0
