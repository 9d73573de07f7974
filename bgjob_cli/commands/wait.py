"""`bgjob wait`: block until jobs end, print something, listen on a port or are quiet."""

import argparse
from collections.abc import Iterator

from bgjob_cli import exit_status
from bgjob_cli.arguments import add_jobs, add_json, cursor, positive_duration
from bgjob_cli.connection import Daemon
from bgjob_cli.job_text import is_active, label, outcome, status_style
from bgjob_cli.json_text import print_json
from bgjob_cli.live_line import LiveLine
from bgjob_cli.output import Output
from bgjob_cli.quantities import format_duration
from bgjob_cli.terminal_text import printable
from bgjob_cli.wait_conditions import INPUT, parse_condition
from bgjobd.protocol import Condition, Fired, JobInfo, Status, Wait, WaitReply

DESCRIPTION = """\
Block until a job has ended, or until a condition holds; several --for are alternatives.

  bgjob wait build && ./deploy            exit with the status of the job
  bgjob wait server --for port:8080       until it listens
  bgjob wait server --for 'Listening on'  until a line matched, even earlier
  bgjob wait tests --for quiet:30s        until it printed nothing for so long
  bgjob wait deploy --for input           until it waits for somebody to type
  bgjob wait a b c --any                  until the first of them has ended

The exit status is that of the job, for several jobs that of the first one that did not complete; 0 when a condition
held, 3 when the job ended before it did, 124 when --timeout expired (the job goes on)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `wait`."""
    add_jobs(parser)
    parser.add_argument(
        "--for",
        dest="conditions",
        action="append",
        type=parse_condition,
        default=[],
        metavar="CONDITION",
        help="exit, input, port:N, quiet:TIME, or a regular expression (pattern:RE where it looks like one of these)",
    )
    parser.add_argument("--any", action="store_true", help="until one of the jobs is there, not all")
    parser.add_argument("-t", "--timeout", type=positive_duration, metavar="TIME", help="give up after so long")
    parser.add_argument(
        "--since", type=_since, default=0, metavar="CURSOR", help="match lines from there on; 'now': new ones only"
    )
    add_json(parser)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Wait, say what happened, and return what it means."""
    with Daemon() as daemon:
        request = _request(daemon, arguments)
        with LiveLine(arguments.jobs, output):
            reply = daemon.call(request)
    if output.json:
        print_json(reply, output)
    else:
        for line in _lines(reply, arguments.conditions, output):
            output.line(line)
        if reply.timed_out:
            active = ", ".join(label(job) for job in reply.jobs if is_active(job))
            output.talk(f"bgjob: gave up after {format_duration(arguments.timeout)}; still there: {active}", "warn")
    return _status(reply, arguments.conditions, any_job=arguments.any)


def _since(text: str) -> int | None:
    """Return where a pattern begins to count: a cursor, or None for now."""
    return None if text == "now" else int(cursor(text))


def _request(daemon: Daemon, arguments: argparse.Namespace) -> Wait:
    """Return the request; where a pattern is waited for, with the cursors that "new output" begins at.

    They are given explicitly, also for 'now', so that a wait that is repeated after a restart of the daemon misses
    nothing of what was printed in between.
    """
    since: dict[str, int] = {}
    until = [condition for condition in arguments.conditions if condition is not INPUT]
    if any(condition.pattern is not None for condition in until):
        jobs = daemon.call(Status(jobs=arguments.jobs)).jobs
        since = {job.job_id: job.output_bytes if arguments.since is None else arguments.since for job in jobs}
    return Wait(
        jobs=arguments.jobs,
        until=until,
        any=arguments.any,
        timeout_s=arguments.timeout,
        since=since,
        needs_input=len(until) < len(arguments.conditions),
    )


def _lines(reply: WaitReply, conditions: list[Condition], output: Output) -> Iterator[str]:
    """Return one line for each thing that came true, in the order it did."""
    jobs = {job.job_id: job for job in reply.jobs}
    for fired in reply.fired:
        job = jobs[fired.job_id]
        if fired.condition == "exit":
            yield f"{label(job)}: {output.paint(outcome(job), status_style(job))}"
        else:
            yield f"{label(job)}: {_what_held(fired, conditions)}"


def _what_held(fired: Fired, conditions: list[Condition]) -> str:
    if fired.condition == "pattern":
        return f"printed {printable(fired.line.decode('utf-8', 'replace'))}"
    if fired.condition == "port":
        return f"listens on {' or '.join(str(one.port) for one in conditions if one.port is not None)}"
    if fired.condition == "quiet":
        quiet_s = min(one.quiet_s for one in conditions if one.quiet_s is not None)
        return f"quiet for {format_duration(quiet_s)}"
    if fired.condition == "needs_input":
        prompt = printable(fired.line.decode("utf-8", "replace"))
        return f"waits for input: {prompt}" if prompt else "waits for input"
    return printable(fired.condition)


def _status(reply: WaitReply, conditions: list[Condition], *, any_job: bool) -> int:
    """Return the exit status: see DESCRIPTION."""
    if reply.timed_out:
        return exit_status.TIMED_OUT
    end_is_wanted = not conditions or Condition() in conditions
    jobs = {job.job_id: job for job in reply.jobs}
    if any_job:
        return min(_status_of(fired, jobs[fired.job_id], end_is_wanted) for fired in reply.fired)
    statuses = {fired.job_id: _status_of(fired, jobs[fired.job_id], end_is_wanted) for fired in reply.fired}
    return next((statuses[job_id] for job_id in jobs if statuses.get(job_id)), exit_status.OK)


def _status_of(fired: Fired, job: JobInfo, end_is_wanted: bool) -> int:
    """Return what one fired condition means for the exit status."""
    if fired.condition != "exit":
        return exit_status.OK
    return exit_status.of_job(job) if end_is_wanted else exit_status.NOT_RUNNING
