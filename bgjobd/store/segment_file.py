"""One log segment opened for reading: its bytes, and through its index which stream each byte came from and when.

Knows the layout of `runner.logfile` and nothing of jobs, cursors over several segments, or budgets. Only pread, so that
a segment may grow while it is read, and so that bytes of the stream that is not asked for are never touched.
"""

import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.protocol import Stream
from bgjobd.runner.logfile import INDEX_RECORD, KIND_STDERR, Segment, index_name, segment_name, unpack_index

_RECORD_BYTES = INDEX_RECORD.size
_BLOCK_RECORDS = 4096  # read at once: 64 KiB
_STDOUT, _STDERR = 0, 1
# The kind is in the low 3 bits of a record's second word, so of its 9th byte; all that is not stderr counts as stdout.
_STREAM_OF_BYTE = bytes(_STDERR if low & 7 == KIND_STDERR else _STDOUT for low in range(256))
_NUMBERS = {Stream.STDOUT: _STDOUT, Stream.STDERR: _STDERR}
_STREAMS = (Stream.STDOUT, Stream.STDERR)


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes from `start` up to, not including, `end`, of one stream (or of any, for `merged`)."""

    start: int
    end: int
    stream: Stream
    time_ns: int  # when the first of them arrived, to 10 ms; 0: unknown


class SegmentFile:
    """A segment that stays readable until it is closed, also when the log drops it meanwhile."""

    def __init__(self, log_dir: str, segment: Segment) -> None:
        """Open it.

        Raises:
            FileNotFoundError: it was dropped.
            OSError: it cannot be opened.
        """
        self._segment = segment
        self._log_fd = os.open(f"{log_dir}/{segment_name(segment.start)}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._index = _open_index(log_dir, segment)
        except BaseException:
            os.close(self._log_fd)
            raise

    def close(self) -> None:
        """Close it, once."""
        os.close(self._log_fd)
        self._index.close()

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes between two absolute offsets, which must lie in the segment.

        Raises:
            BgjobError: OUTPUT_DAMAGED when the file is shorter than it was.
        """
        position = start - self._segment.start
        data = os.pread(self._log_fd, end - start, position)
        if len(data) == end - start:
            return data
        parts = [data]  # a signal or the kernel's limit of 2 GiB cut it
        while data and (missing := end - start - sum(map(len, parts))):
            data = os.pread(self._log_fd, missing, position + end - start - missing)
            parts.append(data)
        if not data:
            raise BgjobError(ErrorCode.OUTPUT_DAMAGED, f"cannot read output at {start}: the log is shorter than it was")
        return b"".join(parts)

    def is_cached(self, start: int, end: int) -> bool:
        """Return whether these bytes are in memory, judged by the first and the last; False where one cannot know.

        Source: preadv2(2), RWF_NOWAIT.
        """
        try:
            for offset in (start, end - 1):
                os.preadv(self._log_fd, [bytearray(1)], offset - self._segment.start, os.RWF_NOWAIT)
        except (OSError, AttributeError):  # EAGAIN: they are not. EOPNOTSUPP, or another system
            return False
        return True

    def spans(self, start: int, end: int, stream: Stream, *, split: bool) -> Iterator[Span]:
        """Yield the spans of `stream` between two absolute offsets, in order.

        With `split` as they were recorded: a span ends where the stream or the time changes. Without it they are as
        long as possible. For `merged` the spans cover everything, exactly once.
        """
        if stream is Stream.MERGED and not split:
            return iter([self._index.merged_span(start, end)] if start < end else [])
        return self._index.spans(start, end, _NUMBERS.get(stream), split)

    def spans_backwards(self, start: int, end: int, stream: Stream, *, split: bool) -> Iterator[Span]:
        """Yield what `spans` yields, last span first."""
        if stream is Stream.MERGED and not split:
            return self.spans(start, end, stream, split=False)
        return self._index.spans_backwards(start, end, _NUMBERS.get(stream), split)

    def last_time_ns(self) -> int:
        """Return when the last bytes arrived, to 10 ms; 0 when it has none or it is unknown."""
        return self._index.time_at(self._segment.end - 1) if self._segment.end > self._segment.start else 0


def _open_index(log_dir: str, segment: Segment) -> "_Index":
    """Open the index of `segment`, whose log is open already.

    An index that is missing or does not begin where the segment begins is damaged; the bytes are still worth showing,
    so all of them then count as one span of stdout at an unknown time.

    Raises:
        FileNotFoundError: the segment was dropped between opening its log and its index.
    """
    try:
        fd = os.open(f"{log_dir}/{index_name(segment.start)}", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        if not os.path.exists(f"{log_dir}/{segment_name(segment.start)}"):
            raise
        return _Index(-1, segment.start)
    index = _Index(fd, segment.start)
    if index.is_damaged():
        index.close()
        return _Index(-1, segment.start)
    return index


class _Index:
    """The records of one index, read in blocks of which one is held.

    The index is written before the bytes it describes, so that when it is opened after the end of the log was seen it
    describes all of those bytes. Records further on are ignored.
    """

    def __init__(self, fd: int, segment_start: int) -> None:
        self._fd = fd
        self._segment_start = segment_start
        if fd < 0:
            self._count, self._first, self._block = 1, 0, INDEX_RECORD.pack(segment_start, 0)
        else:
            self._count, self._first, self._block = os.fstat(fd).st_size // _RECORD_BYTES, 0, b""
            self._load(0)
        self._kinds = _kinds(self._block)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def is_damaged(self) -> bool:
        return self._count == 0 or self._offset(0) != self._segment_start

    def merged_span(self, start: int, end: int) -> Span:
        return Span(start, end, Stream.MERGED, self.time_at(start))

    def time_at(self, offset: int) -> int:
        return self._record(max(0, self._first_after(offset) - 1))[1]

    def spans(self, start: int, end: int, stream: int | None, split: bool) -> Iterator[Span]:
        index, count, position = max(0, self._first_after(start) - 1), self._first_from(end), start
        while index < count:
            if stream is not None:
                index = self._find(stream, index, count)
                if index == count:
                    return
            after = index + 1 if split else self._find(1 - self._stream(index), index + 1, count)
            kind = self._stream(index)
            # Clipped to what was not yielded yet: also a damaged index must not make bytes appear twice.
            low = position if stream is None else max(position, self._offset(index))
            high = end if after == count else min(end, self._offset(after))
            if low < high:
                yield Span(low, high, _STREAMS[kind], self._time_in(index, after, low))
                position = high
            index = after

    def spans_backwards(self, start: int, end: int, stream: int | None, split: bool) -> Iterator[Span]:
        index, position = self._first_from(end) - 1, end
        while index >= 0 and position > start:
            if stream is not None:
                index = self._find_backwards(stream, index + 1)
                if index < 0:
                    return
                if index + 1 < self._count:
                    position = min(position, max(start, self._offset(index + 1)))
            first = index if split else self._find_backwards(1 - self._stream(index), index + 1) + 1
            low = max(start, self._offset(first))
            if low < position:
                yield Span(low, position, _STREAMS[self._stream(first)], self._time_in(first, index + 1, low))
                position = low
            index = first - 1

    def _time_in(self, first: int, after: int, offset: int) -> int:
        """Return when `offset` arrived, which the records from `first` up to, not including, `after` describe."""
        if after - first > 1 and self._offset(first + 1) <= offset:
            return self.time_at(offset)
        return self._record(first)[1]

    def _first_after(self, offset: int) -> int:
        """Return the number of the first record whose offset is greater than `offset`."""
        return bisect_right(range(self._count), offset, key=self._offset_probed)

    def _first_from(self, offset: int) -> int:
        """Return the number of the first record whose offset is not less than `offset`."""
        return bisect_left(range(self._count), offset, key=self._offset_probed)

    def _find(self, stream: int, index: int, limit: int) -> int:
        """Return the first record from `index` on that is of `stream`, `limit` if there is none before it."""
        while index < limit:
            self._hold(index)
            found = self._kinds.find(stream, index - self._first)
            if found >= 0:
                return min(limit, self._first + found)
            index = self._first + len(self._kinds)
        return limit

    def _find_backwards(self, stream: int, limit: int) -> int:
        """Return the last record before `limit` that is of `stream`, -1 if there is none."""
        while limit > 0:
            self._hold(limit - 1)
            found = self._kinds.rfind(stream, 0, limit - self._first)
            if found >= 0:
                return self._first + found
            limit = self._first
        return -1

    def _record(self, index: int) -> tuple[int, int]:
        """Return (offset, time)."""
        self._hold(index)
        return unpack_index(self._block, (index - self._first) * _RECORD_BYTES)[:2]

    def _offset(self, index: int) -> int:
        return self._record(index)[0]

    def _offset_probed(self, index: int) -> int:
        """Return the offset of one record out of any, without reading a block for it."""
        if self._fd < 0 or 0 <= index - self._first < len(self._kinds):
            return self._offset(index)
        return unpack_index(os.pread(self._fd, _RECORD_BYTES, index * _RECORD_BYTES))[0]

    def _stream(self, index: int) -> int:
        self._hold(index)
        return self._kinds[index - self._first]

    def _hold(self, index: int) -> None:
        """Make the block of record `index` the one that is held."""
        if not 0 <= index - self._first < len(self._kinds):
            self._load(index - index % _BLOCK_RECORDS)

    def _load(self, first: int) -> None:
        wanted = min(_BLOCK_RECORDS, self._count - first) * _RECORD_BYTES
        self._block = os.pread(self._fd, wanted, first * _RECORD_BYTES)
        self._first, self._kinds = first, _kinds(self._block)


def _kinds(block: bytes) -> bytes:
    """Return the stream of each record, one byte each, so that `bytes.find` can look for a stream at C speed."""
    return block[8::_RECORD_BYTES].translate(_STREAM_OF_BYTE)
