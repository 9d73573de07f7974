"""`bgjob output`: the captured output of a job, byte for byte."""

import argparse

from bgjob_cli import exit_status
from bgjob_cli.arguments import add_job, add_json, add_streams, cursor
from bgjob_cli.connection import Daemon
from bgjob_cli.output import Output
from bgjob_cli.printers import DocumentPrinter, RawPrinter, show
from bgjobd.protocol import Follow, Stream

DESCRIPTION = """\
Print everything a job has written so far, byte for byte, both streams in the order in which they were written.

What is no longer kept is reported on stderr with its exact size, never in the output."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `output`."""
    add_job(parser)
    add_streams(parser)
    parser.add_argument("--since", type=cursor, metavar="CURSOR", help="from this byte offset of the output on")
    add_json(parser, "print the lines with stream, time and cursor as one JSON document")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Stream what there is now to stdout."""
    # Runs by stream and time are needed for the JSON alone; without them they are as large as they can be.
    request = Follow(
        job=arguments.job,
        since=arguments.since or 0,
        stream=Stream(arguments.stream),
        split=output.json,
        follow=False,
    )
    with Daemon() as daemon:
        show(daemon, request, DocumentPrinter(output) if output.json else RawPrinter(output))
    return exit_status.OK
