"""`bgjob answer`: a person types the secret that a job asks for, in their own terminal."""

import argparse
import getpass
import os

from bgjob_cli import exit_status
from bgjob_cli.arguments import add_job
from bgjob_cli.connection import Daemon
from bgjob_cli.job_text import label, outcome, short_id
from bgjob_cli.output import Output
from bgjob_cli.terminal_text import printable
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.protocol import InputMode, JobInfo, JobStatus, Send, Status

DESCRIPTION = """\
Answer a job that asks for a password or another secret. It is typed here without being shown, goes to the job's
terminal while that hides what is typed, and is in no argument, no output and no log."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `answer`."""
    add_job(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Ask the person and send what they typed."""
    if not os.isatty(0):
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT, "cannot ask for a secret: we are not at a terminal", "Run it in a terminal."
        )
    with Daemon() as daemon:
        job = _asking(daemon, arguments.job)
        prompt = printable(job.prompt or "Secret:").rstrip()
        try:
            secret = getpass.getpass(f"{label(job)} asks: {prompt} ")
        except EOFError as error:  # Ctrl-D
            output.talk("")  # the prompt's line is not at its end
            raise BgjobError(
                ErrorCode.CANCELLED,
                f"cannot answer job {short_id(job)}: nothing was typed, and nothing sent",
                f"It still asks: bgjob answer {short_id(job)}",
            ) from error
        # It may have given up meanwhile: then its terminal would show, and the log would keep, what is sent.
        daemon.call(Send(job=job.job_id, data=os.fsencode(secret), newline=True, hidden=True), repeat=False)
    output.talk(f"{label(job)}: sent", "dim")
    return exit_status.OK


def _asking(daemon: Daemon, reference: str) -> JobInfo:
    """Return the job, if it asks for a secret now.

    Raises:
        BgjobError: NOT_RUNNING; REFUSED when it does not ask, or does not hide what is typed; or as `Status`.
    """
    job = daemon.call(Status(jobs=[reference], details=True)).jobs[0]
    if job.status is not JobStatus.RUNNING:
        raise BgjobError(ErrorCode.NOT_RUNNING, f"cannot answer job {short_id(job)}: it is {outcome(job)}")
    if job.input_mode is not InputMode.HIDDEN:
        raise BgjobError(
            ErrorCode.REFUSED,
            f"cannot answer job {short_id(job)}: it asks for no secret now",
            f"What it shows: bgjob screen {short_id(job)}; other input: bgjob send {short_id(job)}",
        )
    return job
