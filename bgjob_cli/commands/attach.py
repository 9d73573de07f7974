"""`bgjob attach`: join a job's terminal, or for a job without one its output and standard input."""

import argparse
import os
import signal

from bgjob_cli import exit_status
from bgjob_cli.arguments import add_job
from bgjob_cli.attach import Detached, LineSender, attach
from bgjob_cli.connection import Daemon
from bgjob_cli.detach_keys import DetachKeys
from bgjob_cli.follow_job import say_end
from bgjob_cli.job_text import label, short_id
from bgjob_cli.output import Output
from bgjob_cli.own_terminal import is_terminal_of
from bgjob_cli.printers import RawPrinter, show
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.protocol import Follow, GetSettings, JobInfo, JobStatus, Status

DESCRIPTION = """\
Join a job's terminal: see what it shows, type into it, and detach with a sequence of keys; the job goes on. Any number
of windows can be attached; the terminal is as large as fits into the smallest of them.

Of a job that was started without --pty you see the output, and send lines; Ctrl-D ends its input, Ctrl-C detaches.

The exit status is that of the job when it ends, and 0 after detaching."""

_LINES_BEFORE = 20  # of output that was written before, for a job without a terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `attach`."""
    add_job(parser)
    parser.add_argument(
        "--detach-keys",
        type=_keys,
        metavar="KEYS",
        help="what detaches, keys named as in tmux (default: the setting detach_keys, which is 'C-\\ C-\\')",
    )


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Stay with the job until it ends or we are detached."""
    with Daemon() as daemon:
        job = _running(daemon, arguments.job)
        try:
            if job.pty:
                job = attach(daemon, job, arguments.detach_keys or _configured_keys(daemon))
            else:
                job = _stay_with_lines(daemon, job, output)
        except Detached:
            output.talk(f"bgjob: detached; {label(job)} goes on. Come back with: bgjob attach {short_id(job)}")
            return exit_status.OK
    say_end(job, output)
    return exit_status.of_job(job)


def _keys(text: str) -> DetachKeys:
    try:
        return DetachKeys(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"cannot use {text!r}: {error}") from error


def _running(daemon: Daemon, reference: str) -> JobInfo:
    """Return the job, if one can attach to it from here.

    Raises:
        BgjobError: NOT_RUNNING; INVALID_ARGUMENT when we are not at a terminal, or at its own; or as `Status`.
    """
    job = daemon.call(Status(jobs=[reference])).jobs[0]
    if job.status is not JobStatus.RUNNING:
        raise BgjobError(
            ErrorCode.NOT_RUNNING,
            f"cannot attach to job {short_id(job)}: it is {job.status.value}",
            f"What it wrote: bgjob output {short_id(job)}",
        )
    if not os.isatty(0) or (job.pty and not os.isatty(1)):
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT,
            f"cannot attach to job {short_id(job)}: we are not at a terminal",
            f"From a script: bgjob tail -f {short_id(job)}, bgjob send {short_id(job)}",
        )
    if job.pid and is_terminal_of(job.pid):
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT,
            f"cannot attach to job {short_id(job)}: this is its own terminal",
            "Its output would be shown in it for ever. Attach from another window.",
        )
    return job


def _configured_keys(daemon: Daemon) -> DetachKeys:
    """Return the detach keys of the configuration, which the daemon has checked."""
    settings = {setting.key: setting.value for setting in daemon.call(GetSettings()).settings}
    return DetachKeys(settings["detach_keys"])


def _stay_with_lines(daemon: Daemon, job: JobInfo, output: Output) -> JobInfo:
    """Show the output and send what is typed, line by line.

    Raises:
        Detached: Ctrl-C, or the keys that detach from a terminal, of which the first is enough here.
    """
    output.talk(f"{label(job)}: Ctrl-C detaches, Ctrl-D ends its input", "dim")
    signal.signal(signal.SIGQUIT, signal.default_int_handler)
    LineSender(job.job_id, output).start()
    request = Follow(job=job.job_id, lines=_LINES_BEFORE, split=True, leftovers=False)
    try:
        return show(daemon, request, RawPrinter(output, split=True)).job
    except KeyboardInterrupt as interrupt:
        raise Detached from interrupt
