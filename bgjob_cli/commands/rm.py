"""`bgjob rm`: forget ended jobs and delete their output."""

import argparse

from bgjob_cli import exit_status
from bgjob_cli.arguments import add_jobs, add_json
from bgjob_cli.connection import Daemon
from bgjob_cli.job_text import label
from bgjob_cli.json_text import print_json
from bgjob_cli.output import Output
from bgjob_cli.quantities import format_size
from bgjobd.protocol import Remove

DESCRIPTION = """\
Forget ended jobs and delete their output. A job that still runs is never removed: if one of them does, none is."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `rm`."""
    add_jobs(parser)
    add_json(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Remove the jobs and say what was freed."""
    with Daemon() as daemon:
        # A repetition would not find the jobs that the first one removed.
        reply = daemon.call(Remove(jobs=arguments.jobs), repeat=False)
    if output.json:
        print_json(reply, output)
        return exit_status.OK
    for job in reply.jobs:
        output.line(f"removed {label(job)}")
    if output.talk_is_terminal:
        output.talk(f"freed {format_size(reply.freed_bytes)}", "dim")
    return exit_status.OK
