"""Whole lines out of runs of bytes, where a run may end anywhere and two streams take turns. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from bgjobd.protocol import Run, Stream

__all__ = ["Line", "LineAssembler"]

_LONGEST_LINE_BYTES = 1 << 20  # a longer one is passed on in pieces: memory stays flat without newlines


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its newline. `complete` is False for a piece that has none (yet)."""

    stream: Stream
    cursor: int  # of its first byte
    time_unix_ms: int  # when its first byte arrived
    data: bytes
    complete: bool = True


@dataclass(slots=True)
class _Unfinished:
    cursor: int
    time_unix_ms: int
    data: bytearray


class LineAssembler:
    """Takes runs in order and gives lines in the order in which they end; each stream has its own unfinished line."""

    def __init__(self) -> None:
        self._unfinished: dict[Stream, _Unfinished] = {}

    def feed(self, run: Run) -> Iterator[Line]:
        """Return the lines that `run` completes."""
        position = 0
        while position < len(run.data):
            line = self._unfinished.get(run.stream)
            if line is None:
                line = _Unfinished(run.offset + position, run.time_unix_ms, bytearray())
                self._unfinished[run.stream] = line
            newline = run.data.find(b"\n", position)
            end = len(run.data) if newline < 0 else newline
            line.data += run.data[position:end]
            position = end + 1
            if newline >= 0 or len(line.data) >= _LONGEST_LINE_BYTES:
                yield self._take(run.stream, complete=newline >= 0)

    def rest(self) -> Iterator[Line]:
        """Return what has no newline: at the end of the output, or in front of a gap."""
        for stream in list(self._unfinished):
            yield self._take(stream, complete=False)

    def _take(self, stream: Stream, *, complete: bool) -> Line:
        line = self._unfinished.pop(stream)
        return Line(stream, line.cursor, line.time_unix_ms, bytes(line.data), complete)
