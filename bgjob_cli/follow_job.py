"""Staying with a job that was just started: show its output or wait for its end, and let go of it on Ctrl-C.

The job is not a child of this terminal, so Ctrl-C reaches only us. The first one detaches and says how to come back;
a second one within two seconds is taken at its word and ends the job.
"""

import time
from collections.abc import Callable

from bgjob_cli.connection import Daemon
from bgjob_cli.job_text import label, outcome, short_id
from bgjob_cli.live_line import LiveLine
from bgjob_cli.output import Output
from bgjob_cli.printers import JsonLinePrinter, RawPrinter, show
from bgjob_cli.receipt_text import receipt_lines
from bgjobd.protocol import Follow, JobInfo, JobStatus, Kill, Wait

__all__ = ["follow_job", "say_end", "until_interrupted", "wait_for_job"]

_SECOND_INTERRUPT_WITHIN_S = 2.0


def follow_job(daemon: Daemon, job: JobInfo, output: Output) -> JobInfo:
    """Show the output of `job` until it ends: stdout on stdout, stderr on stderr. Return the job as it ended.

    Raises:
        BgjobError: as `Daemon.follow`.
    """
    printer = JsonLinePrinter(output) if output.json else RawPrinter(output, split=True)
    return show(daemon, Follow(job=job.job_id, since=0, split=True, leftovers=False), printer).job


def wait_for_job(daemon: Daemon, job: JobInfo, output: Output) -> JobInfo:
    """Wait until `job` has ended and return it as it ended. Raises like `follow_job`."""
    with LiveLine([job.job_id], output):
        return daemon.call(Wait(jobs=[job.job_id])).jobs[0]


def say_end(job: JobInfo, output: Output) -> None:
    """Tell a person how the job ended."""
    output.talk(f"{label(job)}: {outcome(job)}", "dim" if job.status is JobStatus.COMPLETED else "bad")


def until_interrupted(
    daemon: Daemon, job: JobInfo, output: Output, comeback: str, stay: Callable[[], JobInfo]
) -> JobInfo:
    """Return what `stay` returns; after Ctrl-C detach, and after a second one end the job and return it killed.

    Args:
        daemon: the connection that `stay` uses; it is dropped on Ctrl-C.
        job: what we are staying with.
        output: where to say what happens.
        comeback: the command that stays with the job again, without the job.
        stay: does the staying.

    Raises:
        KeyboardInterrupt: we are detached; that was said.
    """
    try:
        return stay()
    except KeyboardInterrupt:
        pass  # detached, unless it is meant
    try:
        daemon.close()
        output.talk(f"\nbgjob: detached; {label(job)} goes on. Come back with: {comeback} {short_id(job)}")
        output.talk("       Ctrl-C again within two seconds kills it.", "dim")
        time.sleep(_SECOND_INTERRUPT_WITHIN_S)  # noqa: TID251  # an interrupt ends it, and is what it waits for
    except KeyboardInterrupt:
        return _kill(daemon, job, output)
    raise KeyboardInterrupt


def _kill(daemon: Daemon, job: JobInfo, output: Output) -> JobInfo:
    """End the job and say what was done."""
    output.talk(f"\nbgjob: killing {label(job)} …")
    reply = daemon.call(Kill(job=job.job_id, reason="Ctrl-C twice in bgjob run"))
    for line in receipt_lines(reply.receipt):
        output.talk(f"       {line}", "bad" if reply.receipt.survivors else "")
    return reply.job
