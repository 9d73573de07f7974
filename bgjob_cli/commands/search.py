"""`bgjob search`: lines of a job's output that match a regular expression."""

import argparse
from collections.abc import Iterator

from bgjob_cli import exit_status
from bgjob_cli.arguments import add_job, add_json, add_streams, count, text
from bgjob_cli.connection import Daemon
from bgjob_cli.json_text import print_json
from bgjob_cli.output import Output
from bgjob_cli.printers import say_gap
from bgjob_cli.quantities import format_count
from bgjobd.protocol import Match, Search, SearchReply, Stream

DESCRIPTION = """\
Find the lines of a job's output that match a regular expression (Python's syntax).

The exit status is 0 when a line matched and 1 when none did, as with grep(1)."""

_NOTHING_FOUND = 1
_LIMIT = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `search`."""
    add_job(parser)
    parser.add_argument("pattern", metavar="PATTERN", type=text, help="a regular expression")
    parser.add_argument("-C", "--context", type=count, default=0, metavar="N", help="also N lines before and after")
    parser.add_argument("-i", "--ignore-case", action="store_true", help="let case not matter")
    parser.add_argument("--limit", type=count, default=_LIMIT, metavar="N", help=f"the first N (default: {_LIMIT})")
    add_streams(parser)
    add_json(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Search and print the matches with their line numbers."""
    request = Search(
        job=arguments.job,
        pattern=arguments.pattern,
        stream=Stream(arguments.stream),
        ignore_case=arguments.ignore_case,
        context=arguments.context,
        limit=arguments.limit,
    )
    with Daemon() as daemon:
        reply = daemon.call(request)
    if output.json:
        print_json(reply, output)
    else:
        _show(reply, output, with_context=arguments.context > 0)
    return exit_status.OK if reply.total else _NOTHING_FOUND


def _show(reply: SearchReply, output: Output, *, with_context: bool) -> None:
    """Print the matches as grep -n does; what is missing is told on stderr."""
    for gap in reply.gaps:
        say_gap(gap, output)
    matched = {match.line_number for match in reply.matches}
    last_printed = 0
    for match in reply.matches:
        if with_context and last_printed and match.line_number - len(match.before) > last_printed + 1:
            output.line("--")
        for number, line in _lines_around(match):
            if number > last_printed:
                mark = ":" if number in matched else "-"
                output.line(output.paint(f"{number}{mark}", "dim") + line.decode("utf-8", "surrogateescape"))
                last_printed = number
    cut = sum(match.line_bytes > len(match.line) for match in reply.matches)
    if cut:
        output.talk(f"bgjob: of {format_count(cut, 'long line')} only the part around the match is shown", "warn")
    if reply.total > len(reply.matches):
        more = format_count(reply.total - len(reply.matches), "more line")
        output.talk(f"bgjob: {more} matched; see --limit", "warn")


def _lines_around(match: Match) -> Iterator[tuple[int, bytes]]:
    """Return the match between its context, with the number of each line."""
    return enumerate([*match.before, match.line, *match.after], match.line_number - len(match.before))
