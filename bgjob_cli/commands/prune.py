"""`bgjob prune`: forget ended jobs by age or number."""

import argparse

from bgjob_cli import exit_status
from bgjob_cli.arguments import add_json, count, duration
from bgjob_cli.connection import Daemon
from bgjob_cli.job_text import label, outcome
from bgjob_cli.json_text import print_json
from bgjob_cli.output import Output
from bgjob_cli.quantities import format_count, format_size
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.protocol import Prune

DESCRIPTION = """\
Forget ended jobs and delete their output: those that ended longer ago than --older, and those beyond the newest
--keep; with both, either is enough. A job that still runs is never removed.

  bgjob prune --older 7d --keep 100 --dry-run"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `prune`."""
    parser.add_argument("--older", type=duration, metavar="TIME", help="jobs that ended longer ago: 7d, 12h …")
    parser.add_argument("--keep", type=count, metavar="N", help="all but the newest N")
    parser.add_argument("--dry-run", action="store_true", help="only say which ones it would be")
    add_json(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Prune and say what was, or would be, removed."""
    if arguments.older is None and arguments.keep is None:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT,
            "cannot prune: neither --older nor --keep says which jobs",
            "For example: bgjob prune --older 7d --dry-run",
        )
    with Daemon() as daemon:
        reply = daemon.call(Prune(older_than_s=arguments.older, keep=arguments.keep, dry_run=arguments.dry_run))
    if output.json:
        print_json(reply, output)
        return exit_status.OK
    word = "would remove" if arguments.dry_run else "removed"
    for job in reply.jobs:
        output.line(f"{word} {label(job)} ({outcome(job)})")
    more = reply.total - len(reply.jobs)
    if more > 0:
        output.line(f"{word} {format_count(more, 'more job')}")
    if output.talk_is_terminal:
        output.talk(f"{word} {format_count(reply.total, 'job')}, {format_size(reply.freed_bytes)}", "dim")
    return exit_status.OK
