"""`bgjob run`: submit a command as a job, and with -w or -f stay until it ends."""

import argparse

from bgjob_cli import exit_status
from bgjob_cli.arguments import add_json, duration, niceness, positive_duration, size, text
from bgjob_cli.connection import Daemon
from bgjob_cli.follow_job import follow_job, say_end, until_interrupted, wait_for_job
from bgjob_cli.input_stream import StdinThread, check_stdin, feed_stdin
from bgjob_cli.job_text import label, outcome
from bgjob_cli.json_text import print_json
from bgjob_cli.output import Output
from bgjob_cli.submission import build_submit, takes_our_stdin
from bgjob_cli.terminal_text import printable
from bgjobd.protocol import JobInfo, Submit

DESCRIPTION = """\
Start a command as a background job and print its id. The job outlives this terminal, and the daemon as well.

One word is a shell command line; several words are a program with its arguments, executed exactly:

  bgjob run 'make -j8 && make test'
  bgjob run make -j8

Options stop at the first word of the command; '--' ends them explicitly. The exit status is 0 once the job was
accepted, whatever becomes of it; with --wait or --follow it is the job's own (see docs/reference/cli.md)."""

OPTIONS_END_AT_COMMAND = True

# On a terminal only: long enough to see that a command cannot be started at all, too short to be felt.
_LOOK_S = 0.05


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `run`; what follows them is the command."""
    parser.usage = "bgjob run [OPTION…] [--] COMMAND [ARGUMENT…]"
    _add_options_about_the_job(parser)
    _add_options_about_its_share(parser)
    _add_options_about_its_end(parser)
    _add_options_about_us(parser)


def _add_options_about_the_job(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-n", "--name", type=text, default="", help="a name to call the job by; only one active job may have it")
    add("-C", "--cwd", metavar="DIR", help="run it there (default: here)")
    add("-e", "--env", metavar="NAME=VALUE", action="append", default=[], help="set a variable (repeatable)")
    add("--env-file", metavar="FILE", action="append", default=[], help="set the variables in FILE, NAME=VALUE a line")
    add("--shell", type=text, metavar="PATH", help="the shell for a command line (default: /bin/sh)")
    add("--stdin", metavar="FILE", help="its standard input; '-' is ours (default: what 'bgjob send' sends)")
    add("--merge-stderr", action="store_true", help="one pipe for both streams: exact order, not told apart")
    add("--pty", action="store_true", help="run it in a terminal of its own; see 'bgjob attach'")
    add("--max-output", type=size, metavar="SIZE", help="keep so much output, 64MiB …: the head and the tail")


def _add_options_about_its_share(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--nice", type=niceness, metavar="N", help="its priority, -20 (first) to 19 (last); below 0 needs privileges")
    add("--max-memory", type=size, metavar="SIZE", help="memory it may have, or each process of it; see the docs")
    add("--max-cpu", type=positive_duration, metavar="TIME", help="processor time it may use, or each process of it")


def _add_options_about_its_end(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-t", "--timeout", type=positive_duration, metavar="TIME", help="end it after 90s, 5m, 1h30m …")
    add("--idle-timeout", type=positive_duration, metavar="TIME", help="end it after so long without output")
    add("--stop-signal", type=text, metavar="SIG", help="what asks it to end (default: TERM)")
    add("--grace", type=duration, metavar="TIME", help="how long it may take to end before KILL (default: 5s)")
    add("--on-exit", metavar="CMD", help="a shell line to run when it has ended; BGJOB_EXIT_CODE and others say how")
    add("--kill-leftovers", action="store_true", help="when it has ended, end what it left running")


def _add_options_about_us(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-w", "--wait", action="store_true", help="wait until it ends, and exit with its status")
    add("-f", "--follow", action="store_true", help="print its output until it ends, then exit with its status")
    add("-q", "--quiet", action="store_true", help="print nothing but the full id")
    add_json(parser, "print the job's status object")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Submit the job and do what -w and -f ask for."""
    if takes_our_stdin(arguments.stdin):
        check_stdin()  # else the job would wait for it for ever
    submit = build_submit(arguments, wait_s=_LOOK_S if _person_looks(arguments, output) else 0.0)
    with Daemon() as daemon:
        job = _submit(daemon, submit, output)
        if not (arguments.follow or arguments.wait):
            return _leave(daemon, job, arguments, output)
        comeback = "bgjob tail -f" if arguments.follow else "bgjob wait"
        job = until_interrupted(daemon, job, output, comeback, lambda: _stay(daemon, job, arguments, output))
    if output.talk_is_terminal and not arguments.quiet:
        say_end(job, output)
    return exit_status.of_job(job)


def _submit(daemon: Daemon, request: Submit, output: Output) -> JobInfo:
    """Start the job. Interrupted in the middle, say that nobody knows whether it runs."""
    try:
        return daemon.call(request).job
    except KeyboardInterrupt:
        output.talk("bgjob: interrupted before the daemon answered; the job may have been started: bgjob ls", "warn")
        raise


def _leave(daemon: Daemon, job: JobInfo, arguments: argparse.Namespace, output: Output) -> int:
    """Let the job go on alone, once it has the input that only we can give it."""
    _announce(job, arguments, output)
    if takes_our_stdin(arguments.stdin):
        feed_stdin(daemon, job.job_id)
    if output.json:
        print_json(job, output)
    elif job.ended and output.talk_is_terminal and not arguments.quiet:
        say_end(job, output)
    return exit_status.OK


def _stay(daemon: Daemon, job: JobInfo, arguments: argparse.Namespace, output: Output) -> JobInfo:
    """See the job to its end and return it as it ended."""
    _announce(job, arguments, output)
    if takes_our_stdin(arguments.stdin):
        StdinThread(job.job_id, output).start()
    if arguments.follow:
        return follow_job(daemon, job, output)
    job = wait_for_job(daemon, job, output)
    if output.json:
        print_json(job, output)
    return job


def _person_looks(arguments: argparse.Namespace, output: Output) -> bool:
    """Return whether to tell at once that the command cannot be started: a script asks, or waits."""
    return output.is_terminal and not (output.json or arguments.quiet or arguments.wait or arguments.follow)


def _announce(job: JobInfo, arguments: argparse.Namespace, output: Output) -> None:
    """Print the id that scripts capture, or what a person types next; under -f, whose stdout is the job's, say it."""
    for warning in job.warnings:
        output.talk(f"bgjob: {printable(warning)}", "warn")
    if arguments.follow:
        if output.talk_is_terminal and not arguments.quiet:
            output.talk(f"{label(job)}: {outcome(job)}; Ctrl-C detaches", "dim")
    elif not output.json:
        output.line(job.job_id if arguments.quiet or not output.is_terminal else label(job))
        output.flush()
