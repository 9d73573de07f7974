"""`bgjob tail`: the last lines of a job's output, and with -f what it writes from now on."""

import argparse

from bgjob_cli import exit_status
from bgjob_cli.arguments import add_job, add_json, add_streams, count, cursor
from bgjob_cli.connection import Daemon
from bgjob_cli.follow_job import say_end
from bgjob_cli.output import Output
from bgjob_cli.printers import DocumentPrinter, JsonLinePrinter, LinePrinter, Printer, RawPrinter, show
from bgjobd.protocol import Follow, Stream

DESCRIPTION = """\
Print the last lines of a job's output. With -f go on until the job has ended; Ctrl-C ends only the looking."""

_LINES = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `tail`."""
    add_job(parser, number_option="-n")
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("-n", "--lines", type=count, default=_LINES, help=f"how many lines (default: {_LINES})")
    begin.add_argument("--since", type=cursor, metavar="CURSOR", help="from this byte offset on instead")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what is written from now on")
    add_streams(parser)
    parser.add_argument("-t", "--timestamps", action="store_true", help="begin each line with the time it arrived")
    parser.add_argument("--plain", action="store_true", help="as it looked: colours gone, progress bars in their end")
    add_json(parser, "print JSON; with -f one object per line")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Show the last lines, and go on with -f."""
    by_line = output.json or arguments.timestamps or arguments.plain
    request = Follow(
        job=arguments.job,
        since=arguments.since,
        lines=arguments.lines if arguments.since is None else None,
        stream=Stream(arguments.stream),
        split=by_line,
        follow=arguments.follow,
    )
    with Daemon() as daemon:
        job = show(daemon, request, _printer(arguments, output)).job
    if arguments.follow and output.talk_is_terminal:
        say_end(job, output)
    return exit_status.OK


def _printer(arguments: argparse.Namespace, output: Output) -> Printer:
    if output.json:
        return JsonLinePrinter(output) if arguments.follow else DocumentPrinter(output)
    if arguments.timestamps or arguments.plain:
        return LinePrinter(output, timestamps=arguments.timestamps, plain=arguments.plain)
    return RawPrinter(output)
