"""`bgjob ls`: active jobs first, then recent ones, as a table that fits the terminal."""

import argparse
import os
import time

import msgspec

from bgjob_cli import exit_status
from bgjob_cli.arguments import add_json, count
from bgjob_cli.connection import Daemon
from bgjob_cli.job_text import ago, is_active, short_id, status_style, status_word
from bgjob_cli.json_text import print_json
from bgjob_cli.output import Output
from bgjob_cli.quantities import format_count, format_duration, format_size
from bgjob_cli.table import Cell, Column, render
from bgjob_cli.terminal_text import printable
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.protocol import JobInfo, JobsReply, JobStatus, ListJobs, Status

DESCRIPTION = """\
List jobs: active ones first, then the most recent ones that ended.

  bgjob ls -s failed -s killed      what went wrong lately
  bgjob kill $(bgjob ls -q -s running)"""

_RECENT = 20
_MOST_SAMPLED = 8  # running jobs, at up to 20 ms each
_ALL = 10_000  # as many as the daemon puts into one reply

_COLUMNS = (
    Column("ID"),
    Column("NAME", enough=12, least=6),
    Column("STATUS", least=9),
    Column("TIME", right=True, rank=1),
    Column("ENDED", right=True, rank=3),
    Column("CPU", right=True, rank=4),
    Column("MEM", right=True, rank=5),
    Column("OUT", right=True, rank=2),
    Column("COMMAND", enough=20, least=8),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `ls`."""
    parser.add_argument("-a", "--all", action="store_true", help="every job there is a record of")
    parser.add_argument(
        "-s",
        "--status",
        action="append",
        choices=[status.value for status in JobStatus],
        default=[],
        help="only jobs in this status (repeatable)",
    )
    parser.add_argument("--limit", type=count, metavar="N", help=f"at most N jobs (default: {_RECENT})")
    parser.add_argument(
        "--cwd", nargs="?", const=".", metavar="DIR", help="only jobs of this directory (default: here)"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print full ids only")
    add_json(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Ask for the jobs and show them."""
    with Daemon() as daemon:
        reply = daemon.call(_request(arguments))
        if not (output.json or arguments.quiet):
            reply = _with_samples(daemon, reply)
    if output.json:
        newest_first = sorted(reply.jobs, key=lambda job: job.submitted, reverse=True)
        print_json({"jobs": newest_first, "total": reply.total}, output)
    elif arguments.quiet:
        for job in reply.jobs:
            output.line(job.job_id)
    else:
        _show(reply, output)
    return exit_status.OK


def _request(arguments: argparse.Namespace) -> ListJobs:
    limit = arguments.limit if arguments.limit is not None else _ALL if arguments.all else _RECENT
    return ListJobs(
        status=[JobStatus(word) for word in arguments.status],
        cwd=_directory(arguments.cwd) if arguments.cwd else "",
        limit=limit,
        sample_input=arguments.json,  # else it comes with the other samples
    )


def _directory(choice: str) -> str:
    """Return an absolute directory as the daemon shows it: what is not UTF-8 has replacements.

    Raises:
        BgjobError: INVALID_ARGUMENT: it is relative to a directory that was deleted.
    """
    try:
        return os.path.abspath(os.fsencode(choice)).decode("utf-8", "replace")
    except FileNotFoundError as error:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT,
            f"cannot list the jobs of {choice!r}: the current directory was deleted",
            "Name the one that it was: bgjob ls --cwd DIR",
        ) from error


def _with_samples(daemon: Daemon, reply: JobsReply) -> JobsReply:
    """Return the jobs with what their processes use now, unless there are many: a sample takes milliseconds."""
    running = [job.job_id for job in reply.jobs if job.status is JobStatus.RUNNING]
    if not running or len(running) > _MOST_SAMPLED:
        return reply
    try:
        sampled = {job.job_id: job for job in daemon.call(Status(jobs=running, details=True)).jobs}
    except BgjobError as error:
        if error.code is not ErrorCode.NO_SUCH_JOB:
            raise
        return reply  # one of them was removed in between
    return msgspec.structs.replace(reply, jobs=[sampled.get(job.job_id, job) for job in reply.jobs])


def _show(reply: JobsReply, output: Output) -> None:
    """Print the table; what is only good to know goes to stderr, and only when a person looks."""
    now = time.time()
    if reply.jobs:
        rows = [_row(job, now) for job in reply.jobs]
        for line in render(_COLUMNS, rows, output.width, output.paint):
            output.line(line)
    elif output.talk_is_terminal:
        output.talk("no jobs; start one with: bgjob run COMMAND", "dim")
    hidden = reply.total - len(reply.jobs)
    if hidden > 0 and output.talk_is_terminal:
        hint = ": bgjob ls --all" if len(reply.jobs) < _ALL else ""
        output.talk(format_count(hidden, "more job") + hint, "dim")


def _row(job: JobInfo, now_unix_s: float) -> list[Cell]:
    """Return the cells of one job, as many as there are columns."""
    return [
        Cell(short_id(job), "strong"),
        Cell(printable(job.name)),
        Cell(status_word(job), status_style(job)),
        Cell("" if job.duration_s is None else format_duration(job.duration_s)),
        Cell("" if is_active(job) or not job.ended else ago(job.ended, now_unix_s), "dim"),
        Cell("" if job.cpu_s is None else format_duration(job.cpu_s)),
        Cell("" if job.peak_rss_bytes is None else format_size(job.peak_rss_bytes)),
        Cell(format_size(job.output_bytes) if job.output_bytes else ""),
        Cell(printable(job.command)),
    ]
