"""Read a job's output from its log: from a cursor, the last lines, or facts about it. Blocking; memory is bounded.

Works on a log that is being written and whose middle is being dropped at the same time. Each call takes one listing of
the segments as its picture of the log; a segment that is dropped before it is opened becomes a gap, and one that is
open stays readable. So what a call answers is exact: every byte of the asked range is in a run or in a gap.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.protocol import Gap, Keep, Run, Stream
from bgjobd.runner.logfile import log_end
from bgjobd.store.job_view import LogFacts
from bgjobd.store.log_picture import LogPicture, Piece
from bgjobd.store.segment_file import SegmentFile, Span

# A run costs about 60 bytes on the wire beside its data. Bounds the reply where the streams alternate byte by byte.
MAX_RUNS = 1 << 16
# How far beyond its budget a tail looks for the start of the first line asked for.
_SEARCH_BEYOND_BYTES = 8 << 20
_SCAN_BLOCK_BYTES = 64 << 10

_LONGEST_CHARACTER = 4  # bytes, in UTF-8

DROPPED, BUDGET = "dropped", "budget"  # values of Gap.reason


@dataclass(slots=True)
class LogPart:
    """A part of a log. For `merged`, runs and gaps together cover `since`..`cursor` exactly, without overlap."""

    since: int
    cursor: int
    end: int  # of the log when it was looked at
    runs: list[Run] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)

    def items(self) -> Iterator[Run | Gap]:
        """Yield the runs and the gaps in the order of the log."""
        gaps = iter(self.gaps)
        gap = next(gaps, None)
        for run in self.runs:
            while gap is not None and gap.start <= run.offset:
                yield gap
                gap = next(gaps, None)
            yield run
        if gap is not None:
            yield gap
            yield from gaps


class LogReader:
    """Reads one job's log directory. Holds nothing open between calls; calls from several threads do not meet."""

    __slots__ = ("_log_dir",)

    def __init__(self, log_dir: str) -> None:
        self._log_dir = log_dir

    def end(self) -> int:
        """Return how many bytes were written so far; 0 when there is no log."""
        with _translated():
            return log_end(self._log_dir)

    def facts(self) -> LogFacts:
        """Return how many bytes were written and are kept, and when the last ones came."""
        return log_facts(self._log_dir)

    def kept_ranges(self) -> list[tuple[int, int]]:
        """Return the ranges of offsets that are kept, in order; neighbours do not touch."""
        with _translated():
            return LogPicture(self._log_dir).kept_ranges()

    def read(
        self,
        since: int = 0,
        *,
        max_bytes: int,
        until: int | None = None,
        stream: Stream = Stream.MERGED,
        split: bool = False,
        keep: Keep = Keep.HEAD,
    ) -> LogPart:
        """Return output from `since` on, at most `max_bytes` of data.

        Args:
            since: a cursor; beyond the end it counts as the end.
            max_bytes: the budget, for data of `stream` alone. A cut never splits a UTF-8 character, except where
                nothing at all would fit.
            until: a cursor where to stop; None: the end.
            stream: for stdout and stderr the other stream's bytes are left out, without a gap.
            split: runs by stream and time (10 ms) as they were recorded; else as large as possible, which still means
                one run per segment.
            keep: what to keep when there is more than the budget. HEAD ends early, with `cursor` where to go on.
                TAIL and HEAD_TAIL reach `until` and leave out the beginning or the middle, as gaps `budget`.

        Raises:
            BgjobError: OUTPUT_DAMAGED, or STORAGE when the disk refuses.
        """
        with _translated(), LogPicture(self._log_dir) as picture:
            until = picture.end if until is None else max(0, min(until, picture.end))
            since = max(0, min(since, until))
            part = LogPart(since, since, picture.end)
            budget = _Budget(max_bytes, MAX_RUNS)
            if keep is Keep.HEAD_TAIL:
                half = _Budget(max_bytes // 2, MAX_RUNS // 2)
                _read_forwards(picture, part, until, stream, split, half)
                budget = _Budget(max_bytes - half.used_bytes, MAX_RUNS - half.used_runs)
            if keep is not Keep.HEAD:
                start = _start_of_last(picture, part.cursor, until, stream, split, budget)
                _leave_out(picture, part, start, stream)
                budget = _Budget(max_bytes, MAX_RUNS)  # what is left fits: it was measured
            _read_forwards(picture, part, until, stream, split, budget)
            return part

    def tail(self, lines: int, *, max_bytes: int, stream: Stream = Stream.MERGED, split: bool = False) -> LogPart:
        """Return the last `lines` lines, at most `max_bytes` of data; a line without its newline counts as one.

        Never goes back over a gap, as nobody knows how many lines were in it: the part then begins with that gap.
        When the lines are over the budget, their end is kept and the part begins with a gap `budget`. Reads backwards
        in blocks: cost and memory follow from the lines and the budget, not from the size of the log.

        Raises:
            BgjobError: OUTPUT_DAMAGED, or STORAGE when the disk refuses.
        """
        with _translated(), LogPicture(self._log_dir) as picture:
            since, start = _start_of_lines(picture, lines, stream, split, _Budget(max_bytes, MAX_RUNS))
            part = LogPart(since, since, picture.end)
            _leave_out(picture, part, start, stream)
            _read_forwards(picture, part, picture.end, stream, split, _Budget(max_bytes, MAX_RUNS))
            return part


class LogStream:
    """Reads one log part by part from a cursor on. A context manager: it keeps open what it reads.

    Cheaper than a `LogReader.read` for each part: the directory is looked at only when all that was there is read.
    """

    __slots__ = ("_log_dir", "_picture", "_split", "_stream", "cursor")

    def __init__(self, log_dir: str, cursor: int, *, stream: Stream = Stream.MERGED, split: bool = False) -> None:
        """Begin at `cursor`; `stream` and `split` are those of `LogReader.read`."""
        self.cursor = cursor
        self._log_dir = log_dir
        self._stream = stream
        self._split = split
        self._picture: LogPicture | None = None

    def __enter__(self) -> "LogStream":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of what is open, for a while or for good: reading on opens it again."""
        if self._picture is not None:
            self._picture.close()

    def read(self, max_bytes: int) -> LogPart:
        """Return the next part, of at most `max_bytes` of data; empty at the end. May wait for the disk.

        Raises:
            BgjobError: OUTPUT_DAMAGED, or STORAGE when the disk refuses.
        """
        with _translated():
            picture = self._current()
            part = LogPart(self.cursor, self.cursor, picture.end)
            _read_forwards(picture, part, picture.end, self._stream, self._split, _Budget(max_bytes, MAX_RUNS))
            self.cursor = part.cursor
            return part

    def read_cached(self, max_bytes: int) -> LogPart | None:
        """Return what `read` returns, if the data is in memory as far as one can see; else None.

        Raises:
            BgjobError: as `read`.
        """
        with _translated():
            picture = self._current()
            for piece in picture.pieces(self.cursor, picture.end):
                file = picture.open(piece)
                if file is not None and not file.is_cached(piece.start, min(piece.end, piece.start + max_bytes)):
                    return None
                break
        return self.read(max_bytes)

    def _current(self) -> LogPicture:
        """Return the picture of the log in which something is left to read, if there is one."""
        if self._picture is None or self.cursor >= self._picture.end:
            self.close()
            self._picture = LogPicture(self._log_dir)
            self.cursor = max(0, min(self.cursor, self._picture.end))
        return self._picture


def log_facts(log_dir: str) -> LogFacts:
    """Return what `LogReader.facts` returns.

    Raises:
        BgjobError: STORAGE when the disk refuses.
    """
    with _translated(), LogPicture(log_dir) as picture:
        return LogFacts(picture.end, picture.kept_bytes, picture.last_time_ns())


class _Budget:
    """What a part may still hold."""

    __slots__ = ("_bytes", "_runs", "used_bytes", "used_runs")

    def __init__(self, max_bytes: int, max_runs: int) -> None:
        self._bytes, self._runs = max_bytes, max_runs
        self.used_bytes = self.used_runs = 0

    def take(self, size: int) -> int:
        """Return how many of the `size` bytes of one more run fit, and count them as used."""
        fitting = min(size, self._bytes - self.used_bytes) if self.used_runs < self._runs else 0
        if fitting > 0:
            self.used_bytes += fitting
            self.used_runs += 1
        return max(0, fitting)


def _read_forwards(
    picture: LogPicture, part: LogPart, until: int, stream: Stream, split: bool, budget: _Budget
) -> None:
    """Go on from `part.cursor` to `until`, or to where the budget ends."""
    for piece in picture.pieces(part.cursor, until):
        file = picture.open(piece)
        if file is None:
            _add_gap(part, Gap(start=piece.start, end=piece.end, reason=DROPPED))
            part.cursor = piece.end
            continue
        for span in file.spans(piece.start, piece.end, stream, split=split):
            fitting = budget.take(span.end - span.start)
            data = _read_whole_characters(file, span, fitting, may_be_empty=bool(part.runs)) if fitting else b""
            if data:
                time_ms = span.time_ns // 1_000_000
                part.runs.append(Run(offset=span.start, stream=span.stream, data=data, time_unix_ms=time_ms))
            if len(data) < span.end - span.start:
                part.cursor = span.start + len(data)
                return
        part.cursor = piece.end


def _start_of_last(picture: LogPicture, floor: int, until: int, stream: Stream, split: bool, budget: _Budget) -> int:
    """Return where the last bytes before `until` that fit into the budget begin; `floor` when all do."""
    start = until
    for _, file, span in _backwards(picture, floor, until, stream, split):
        if file is None or span is None:
            continue
        fitting = budget.take(span.end - span.start)
        if fitting < span.end - span.start:
            return _character_start(file, span.end - fitting, span.end) if fitting else start
        start = span.start
    return floor


def _start_of_lines(picture: LogPicture, lines: int, stream: Stream, split: bool, budget: _Budget) -> tuple[int, int]:
    """Return where the last `lines` lines begin, and where the part of them that fits into the budget begins.

    Looks for the first only so far beyond the budget: then it is where the search ended.
    """
    start = fits_from = picture.end
    beyond = _Budget(_SEARCH_BEYOND_BYTES, MAX_RUNS)
    over = False
    newlines = lines  # to pass; the one that ends the last line is not one of them
    last_byte = True
    if lines <= 0:
        return start, start
    for piece, file, span in _backwards(picture, 0, picture.end, stream, split):
        if file is None or span is None:
            return piece.start, fits_from if over else piece.end
        if not over:
            fitting = budget.take(span.end - span.start)
            over = fitting < span.end - span.start
            fits_from = _character_start(file, span.end - fitting, span.end) if fitting else fits_from
        for low, data in _blocks_backwards(file, span):
            searched = len(data) - (last_byte and data.endswith(b"\n"))
            last_byte = False
            position, newlines = _nth_newline_from_end(data, searched, newlines)
            if position >= 0:
                start = low + position + 1
                return start, max(start, fits_from) if over else start
            if over and low < fits_from and beyond.take(len(data)) < len(data):
                return low, fits_from
        fits_from = fits_from if over else span.start
    return 0, fits_from if over else 0


def _backwards(
    picture: LogPicture, floor: int, until: int, stream: Stream, split: bool
) -> Iterator[tuple[Piece, SegmentFile | None, Span | None]]:
    """Yield the spans between two offsets, last first, each with its open file; a hole as (piece, None, None)."""
    for piece in reversed(list(picture.pieces(floor, until))):
        file = picture.open(piece)
        if file is None:
            yield piece, None, None
            continue
        for span in file.spans_backwards(piece.start, piece.end, stream, split=split):
            yield piece, file, span


def _blocks_backwards(file: SegmentFile, span: Span) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, bytes) of the blocks of a span, last first."""
    high = span.end
    while high > span.start:
        low = max(span.start, high - _SCAN_BLOCK_BYTES)
        yield low, file.read(low, high)
        high = low


def _nth_newline_from_end(data: bytes, end: int, nth: int) -> tuple[int, int]:
    """Return the position of the nth newline before `end`, counted backwards; or -1, and how many are missing."""
    found = data.count(b"\n", 0, end)
    if found < nth:
        return -1, nth - found
    for _ in range(nth):
        end = data.rfind(b"\n", 0, end)
    return end, 0


def _leave_out(picture: LogPicture, part: LogPart, start: int, stream: Stream) -> None:
    """Move `part.cursor` to `start` and say exactly what is left out on the way."""
    for piece in picture.pieces(part.cursor, start):
        file = picture.open(piece) if stream is not Stream.MERGED else None
        if piece.segment is None:
            gap = Gap(start=piece.start, end=piece.end, reason=DROPPED)
        elif file is None:
            gap = Gap(start=piece.start, end=piece.end, reason=BUDGET)
        else:
            spans = file.spans(piece.start, piece.end, stream, split=False)
            size = sum(span.end - span.start for span in spans)
            gap = Gap(start=piece.start, end=piece.end, reason=BUDGET, stream_bytes=size)
        _add_gap(part, gap)
    part.cursor = max(part.cursor, start)


def _add_gap(part: LogPart, gap: Gap) -> None:
    """Add a gap, joined with the one before when they touch and say the same."""
    before = part.gaps[-1] if part.gaps else None
    if before is None or before.end != gap.start or before.reason != gap.reason:
        part.gaps.append(gap)
        return
    known = before.stream_bytes is not None and gap.stream_bytes is not None
    size = (before.stream_bytes or 0) + (gap.stream_bytes or 0) if known else None
    part.gaps[-1] = Gap(start=before.start, end=gap.end, reason=gap.reason, stream_bytes=size)


def _read_whole_characters(file: SegmentFile, span: Span, size: int, *, may_be_empty: bool) -> bytes:
    """Return the first `size` bytes of a span, less the beginning of a UTF-8 character that the cut would split."""
    data = file.read(span.start, span.start + size)
    if span.start + size == span.end or not _continues_character(file.read(span.start + size, span.start + size + 1)):
        return data
    for back in range(1, min(_LONGEST_CHARACTER, len(data) + 1)):
        if data[-back] >= 0xC0:  # the character's first byte
            return data[:-back] if len(data) > back or may_be_empty else data
    return data  # not UTF-8


def _character_start(file: SegmentFile, start: int, end: int) -> int:
    """Return the first offset from `start` on where a UTF-8 character does not go on."""
    for byte in file.read(start, min(end, start + _LONGEST_CHARACTER - 1)):
        if not _continues_character(bytes((byte,))):
            break
        start += 1
    return start


def _continues_character(byte: bytes) -> bool:
    """Return whether this is a second or later byte of a UTF-8 character (RFC 3629, section 3)."""
    return byte[0] & 0xC0 == 0x80


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what the disk says into what the caller can use."""
    try:
        yield
    except OSError as error:
        raise BgjobError(
            ErrorCode.STORAGE, f"cannot read output: {error.strerror or error}", details={"path": error.filename or ""}
        ) from error
    except struct.error as error:
        raise BgjobError(ErrorCode.OUTPUT_DAMAGED, "cannot read output: its index is shorter than it was") from error
