"""`bgjob screen`: what a job's terminal shows now."""

import argparse

from bgjob_cli import exit_status
from bgjob_cli.arguments import add_job, add_json
from bgjob_cli.connection import Daemon
from bgjob_cli.json_text import print_json
from bgjob_cli.output import Output
from bgjob_cli.terminal_text import printable
from bgjobd.protocol import Screen

DESCRIPTION = """\
Print what a job's terminal shows now, as text: for full-screen programs, whose output makes no sense line by line.

It is drawn from the end of the output, so it also works for a job that has ended, or that has no terminal."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `screen`."""
    add_job(parser)
    add_json(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Print the rows; below the last one that shows something there is nothing to print."""
    with Daemon() as daemon:
        reply = daemon.call(Screen(job=arguments.job))
    if output.json:
        print_json(reply, output)
        return exit_status.OK
    used = max((number for number, line in enumerate(reply.lines, 1) if line), default=0)
    for line in reply.lines[:used]:
        output.line(printable(line))
    return exit_status.OK
