"""Output of a job on its way to the person: as bytes, as lines with times, or as JSON. Gaps are always told.

The bytes of a job are data. What is said about them (gaps, how the job ended) never goes between them on stdout.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Protocol

from bgjob_cli.connection import Daemon
from bgjob_cli.json_text import as_json, exact_text, json_line
from bgjob_cli.lines import Line, LineAssembler
from bgjob_cli.output import Output
from bgjob_cli.quantities import format_count
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.plain import plain_line
from bgjobd.protocol import Follow, FollowReply, Gap, Run, Stream

__all__ = ["DocumentPrinter", "JsonLinePrinter", "LinePrinter", "Printer", "RawPrinter", "say_gap", "show"]

_UNKNOWN_TIME = f"{'time unknown':<23}"  # as long as a time


class Printer(Protocol):
    """Takes what a follow brings, in order."""

    def run(self, run: Run) -> None:
        """Take bytes."""

    def gap(self, gap: Gap) -> None:
        """Take a hole in the output."""

    def end(self, reply: FollowReply) -> None:
        """Take the end: nothing comes after it."""


def show(daemon: Daemon, request: Follow, printer: Printer) -> FollowReply:
    """Stream output to `printer` and return the final reply.

    Raises:
        BgjobError: as `Daemon.follow`; INVALID_ARGUMENT: it was asked for from beyond its end on.
    """
    for item in daemon.follow(request):
        if isinstance(item, FollowReply):
            _check_cursor(request, item)
            printer.end(item)
            return item
        if item.run is not None:
            printer.run(item.run)
        if item.gap is not None:
            printer.gap(item.gap)
    raise AssertionError("a follow ends with its reply")


def _check_cursor(request: Follow, reply: FollowReply) -> None:
    """Refuse a cursor that this output cannot have had: what it shows is nothing, and nothing is a wrong answer."""
    if request.since is not None and request.since > reply.cursor:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT,
            f"cannot print output from {request.since} on: it ends at {reply.cursor}",
            "A cursor is that of one job.",
        )


def say_gap(gap: Gap, output: Output) -> None:
    """Tell on stderr what is missing, to the byte."""
    size = format_count(gap.end - gap.start, "byte")
    if gap.reason == "dropped":
        reason = "were dropped to stay within the job's limit"
    else:
        reason = f"are left out here; they begin at --since {gap.start}"
    output.talk(f"bgjob: {size} of output (offset {gap.start} up to {gap.end}) {reason}", "warn")


class RawPrinter:
    """Passes the bytes on as they are: everything to stdout, or stderr to stderr where the runs say so."""

    def __init__(self, output: Output, *, split: bool = False) -> None:
        self._output = output
        self._split = split

    def run(self, run: Run) -> None:
        """Write the bytes now."""
        if self._split and run.stream is Stream.STDERR:
            self._output.raw_talk(run.data)
        else:
            self._output.raw(run.data)

    def gap(self, gap: Gap) -> None:
        """Say what is missing."""
        say_gap(gap, self._output)

    def end(self, reply: FollowReply) -> None:
        """Nothing is held back, so there is nothing to do."""


class LinePrinter:
    """Prints whole lines: with the time of each, or as a terminal would show them, or both."""

    def __init__(self, output: Output, *, timestamps: bool, plain: bool) -> None:
        self._output = output
        self._timestamps = timestamps
        self._text: Callable[[bytes], bytes] = _plain_bytes if plain else bytes
        self._lines = LineAssembler()

    def run(self, run: Run) -> None:
        """Print the lines that these bytes complete."""
        self._print(self._lines.feed(run))

    def gap(self, gap: Gap) -> None:
        """Print what stood in front of the gap, and say what is missing."""
        self._print(self._lines.rest())
        say_gap(gap, self._output)

    def end(self, reply: FollowReply) -> None:
        """Print a last line that has no newline."""
        self._print(self._lines.rest())

    def _print(self, lines: Iterator[Line]) -> None:
        text = b"".join(self._prefix(line) + self._text(line.data) + b"\n" for line in lines)
        self._output.raw(text)

    def _prefix(self, line: Line) -> bytes:
        if not self._timestamps:
            return b""
        stamp = _UNKNOWN_TIME
        if line.time_unix_ms:
            stamp = datetime.fromtimestamp(line.time_unix_ms / 1000).isoformat(" ", "milliseconds")
        return (self._output.paint(stamp, "dim") + " ").encode()


class JsonLinePrinter:
    """Prints one JSON object a line: `output` for each line of the job, `gap`, and `end` with the job."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._lines = LineAssembler()

    def run(self, run: Run) -> None:
        """Print the lines that these bytes complete."""
        self._print(self._lines.feed(run))

    def gap(self, gap: Gap) -> None:
        """Print what stood in front of the gap, and the gap."""
        self._print(self._lines.rest())
        self._say({"type": "gap", **as_json(gap), "bytes": gap.end - gap.start})

    def end(self, reply: FollowReply) -> None:
        """Print a last line without newline, and the job as it is now."""
        self._print(self._lines.rest())
        self._say({"type": "end", "cursor": reply.cursor, "job": reply.job})

    def _print(self, lines: Iterator[Line]) -> None:
        for line in lines:
            self._output.line(json_line({"type": "output", **line_fields(line)}))
        self._output.flush()

    def _say(self, value: object) -> None:
        self._output.line(json_line(value))
        self._output.flush()


class DocumentPrinter:
    """Prints one JSON document with all lines, without holding them: memory stays flat for any amount of output."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._lines = LineAssembler()
        self._gaps: list[Gap] = []
        self._separator = '{"lines":['
        self._end = "\n" if output.is_terminal else ""

    def run(self, run: Run) -> None:
        """Print the lines that these bytes complete."""
        self._print(self._lines.feed(run))

    def gap(self, gap: Gap) -> None:
        """Print what stood in front of the gap; the gaps follow after the lines."""
        self._print(self._lines.rest())
        self._gaps.append(gap)

    def end(self, reply: FollowReply) -> None:
        """Finish the document."""
        self._print(self._lines.rest())
        if self._separator != ",":
            self._output.line(self._separator, self._end)
        rest = json_line({"gaps": self._gaps, "cursor": reply.cursor, "job": reply.job})
        self._output.line("]," + rest.removeprefix("{"))

    def _print(self, lines: Iterator[Line]) -> None:
        for line in lines:
            self._output.line(self._separator + json_line(line_fields(line)), self._end)
            self._separator = ","


def line_fields(line: Line) -> dict[str, object]:
    """Return a line of output as JSON fields."""
    return {
        "cursor": line.cursor,
        "stream": line.stream,
        "time": _utc(line.time_unix_ms) if line.time_unix_ms else None,
        "complete": line.complete,
        **exact_text(line.data),
    }


def _utc(unix_ms: int) -> str:
    """Return a time as RFC 3339 in UTC, as everywhere in the JSON of bgjob."""
    moment = datetime.fromtimestamp(unix_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain_bytes(data: bytes) -> bytes:
    return plain_line(data).encode("utf-8", "replace")
