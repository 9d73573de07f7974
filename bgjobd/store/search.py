"""Find lines of a job's output by a regular expression, in one pass, with bounded memory. Blocking.

The pattern is applied to each line as text: UTF-8, with invalid bytes kept apart (as Python's surrogateescape does),
without escape sequences and without the line's end, be it "\\n" or "\\r\\n". Lines over 1 MiB are searched in pieces
that overlap by 4 KiB; there `^` and `$` also match at the edge of a piece.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate

from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.model.lines import LineBatch, LineSplitter
from bgjobd.model.patterns import Pattern
from bgjobd.plain import place_with_codes, without_codes
from bgjobd.protocol import Gap, Match, Run, Stream
from bgjobd.store.logs import LogReader

_BLOCK_BYTES = 256 << 10  # read at once, and how far a search goes on after it was cancelled
_SHOWN_BYTES = 4 << 10  # of one line
_LEAD_BYTES = 1 << 10  # shown before the match, where the line's beginning has to be cut
# All lines that a result may hold: it has to fit into one frame, with room to spare.
_RESULT_BYTES = 4 << 20


@dataclass(slots=True)
class Found:
    """What a search found."""

    matches: list[Match] = field(default_factory=list)
    total: int = 0  # lines that matched, also those past the limit
    searched_bytes: int = 0
    gaps: list[Gap] = field(default_factory=list)


def search(
    reader: LogReader,
    pattern: str,
    *,
    stream: Stream = Stream.MERGED,
    ignore_case: bool = False,
    context: int = 0,
    limit: int = 100,
    cancelled: Callable[[], bool] = lambda: False,
) -> Found:
    """Return the lines that match, in order, from the output as it is when the search begins.

    Args:
        reader: of the job's log.
        pattern: a regular expression in Python's syntax, found anywhere in a line.
        stream: what to search; lines and their numbers are then those of that stream alone.
        ignore_case: as re.IGNORECASE, for all of Unicode.
        context: how many lines before and after each match to return; never across a gap.
        limit: how many matches to return at most; all are counted. Fewer are returned when their lines together would
            be over 4 MiB.
        cancelled: asked between blocks; when true the search ends.

    Raises:
        BgjobError: INVALID_ARGUMENT for a pattern that is none; LIMIT_EXCEEDED for one that is too slow; CANCELLED;
            OUTPUT_DAMAGED or STORAGE as in `LogReader`.
    """
    scan = _Scan(Pattern(pattern, ignore_case=ignore_case), context, limit)
    lines = LineSplitter()
    cursor, end = 0, reader.end()
    while cursor < end:
        if cancelled():
            raise BgjobError(ErrorCode.CANCELLED, "the search was cancelled")
        part = reader.read(cursor, until=end, max_bytes=_BLOCK_BYTES, stream=stream)
        for item in part.items():
            if isinstance(item, Run):
                scan.add(lines.feed(item.offset, item.data))
                scan.found.searched_bytes += len(item.data)
            else:
                scan.add(lines.finish())
                scan.add_gap(item)
        if part.cursor == cursor:
            break  # the log was removed meanwhile
        cursor = part.cursor
    scan.add(lines.finish())
    return scan.found


class _Scan:
    """Applies the pattern to batches of lines and collects what matches."""

    def __init__(self, pattern: Pattern, context: int, limit: int) -> None:
        self.found = Found()
        self._find = pattern.find
        self._context = context
        self._limit = limit
        self._room_bytes = _RESULT_BYTES
        self._before: deque[bytes] = deque(maxlen=context)  # the last lines
        self._open: list[list[bytes]] = []  # the `after` of matches that wait for more lines
        self._long_line_matched = False
        self._long_line = b""  # its beginning

    def add(self, batches: list[LineBatch]) -> None:
        """Search some lines."""
        for batch in batches:
            text = batch.data.decode("utf-8", "surrogateescape").replace("\r\n", "\n")
            texts = without_codes(text).split("\n")
            texts[-1] = texts[-1].removesuffix("\r")
            hits = [index for index, text in enumerate(texts) if self._find(text)]
            if hits or self._context:
                self._collect(batch, batch.data.split(b"\n"), hits)

    def add_gap(self, gap: Gap) -> None:
        """Note a gap; context does not reach across it."""
        self.found.gaps.append(gap)
        self._before.clear()
        self._open.clear()

    def _collect(self, batch: LineBatch, lines: list[bytes], hits: list[int]) -> None:
        """Take the lines that matched, and the context."""
        first_piece = batch.column == 0
        if first_piece:
            self._complete_open(lines)
        starts = [0, *accumulate(len(line) + 1 for line in lines)] if hits else []
        for index in hits:
            if first_piece or not self._long_line_matched:
                self.found.total += 1
                if len(self.found.matches) < self._limit and self._room_bytes > 0:
                    self._take(batch, starts[index], lines, index)
        self._long_line_matched = batch.unfinished and (bool(hits) or (not first_piece and self._long_line_matched))
        if self._context:
            self._remember(batch, lines)

    def _remember(self, batch: LineBatch, lines: list[bytes]) -> None:
        """Keep the last lines as context of the next match; of a line in pieces its beginning, once it is whole."""
        if batch.column:
            lines = [self._long_line]
        if batch.unfinished:
            self._long_line = lines[0][:_SHOWN_BYTES]
        else:
            self._before.extend(line[:_SHOWN_BYTES] for line in lines[-self._context :])

    def _take(self, batch: LineBatch, start: int, lines: list[bytes], index: int) -> None:
        """Return one match to the caller."""
        too_early = max(0, len(self._before) - max(0, self._context - index))
        before = [*list(self._before)[too_early:], *lines[max(0, index - self._context) : index]]
        whole = lines[index].removesuffix(b"\r")
        line, column = _excerpt(whole, self._find)
        match = Match(
            line_number=batch.line_number + index,
            cursor=batch.line_cursor + start,
            line=line,
            column=batch.column + column,
            line_bytes=batch.column + len(whole),
            before=[earlier[:_SHOWN_BYTES] for earlier in before],
            after=[later[:_SHOWN_BYTES] for later in lines[index + 1 : index + 1 + self._context]],
        )
        self.found.matches.append(match)
        self._room_bytes -= sum(map(len, (line, *match.before, *match.after)))
        if len(match.after) < self._context:
            self._open.append(match.after)

    def _complete_open(self, lines: list[bytes]) -> None:
        """Give the lines that follow to the matches that wait for them."""
        for after in self._open:
            if self._room_bytes > 0:
                more = [line[:_SHOWN_BYTES] for line in lines[: self._context - len(after)]]
                after += more
                self._room_bytes -= sum(map(len, more))
        self._open = [after for after in self._open if len(after) < self._context]


def _excerpt(line: bytes, find: Callable[[str], tuple[int, int] | None]) -> tuple[bytes, int]:
    """Return what is shown of a line that matched, and where in the line that begins."""
    if len(line) <= _SHOWN_BYTES:
        return line, 0
    text = line.decode("utf-8", "surrogateescape")
    match = find(without_codes(text))
    assert match is not None
    position = len(text[: place_with_codes(text, match[0])].encode("utf-8", "surrogateescape"))
    begin = max(0, min(position - _LEAD_BYTES, len(line) - _SHOWN_BYTES))
    while begin < position and line[begin] & 0xC0 == 0x80:  # in the middle of a UTF-8 character
        begin += 1
    return line[begin : begin + _SHOWN_BYTES], begin
