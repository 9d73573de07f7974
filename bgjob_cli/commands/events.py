"""`bgjob events`: what happens to jobs, as it happens."""

import argparse

from bgjob_cli import exit_status
from bgjob_cli.arguments import add_json, event_number, text
from bgjob_cli.connection import Daemon
from bgjob_cli.job_text import local_time
from bgjob_cli.json_text import json_line
from bgjob_cli.output import Output
from bgjob_cli.terminal_text import printable
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.protocol import Event, Events, EventsReply, EventType, JobStatus

DESCRIPTION = """\
Print what happens to jobs, one line for each event, until Ctrl-C.

  bgjob events --json | jq -c 'select(.type == "ended")'
  bgjob events --since 0 --no-follow --job build"""

_STYLES = {JobStatus.COMPLETED: "good", JobStatus.FAILED: "bad", JobStatus.KILLED: "warn", JobStatus.LOST: "bad"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `events`."""
    parser.add_argument("--job", metavar="JOB", type=text, default="", help="only events of this job")
    parser.add_argument("--since", metavar="SEQ", type=event_number, help="first the stored events after this number")
    parser.add_argument("--no-follow", action="store_true", help="only stored events; without --since, all of them")
    add_json(parser, "print one JSON object per line")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Print the events."""
    with Daemon() as daemon:
        since = _start(_stored(daemon), arguments, output)
        request = Events(since=since, job=arguments.job, follow=not arguments.no_follow)
        for event in daemon.events(request):
            if isinstance(event, Event):
                output.line(json_line(event) if output.json else _line(event, output))
                output.flush()
    if request.follow:
        output.talk("bgjob: the job is forgotten; nothing more can happen to it", "dim")
    return exit_status.OK


def _stored(daemon: Daemon) -> EventsReply:
    """Return which events the daemon has."""
    for reply in daemon.events(Events(follow=False)):
        if isinstance(reply, EventsReply):
            return reply
    raise AssertionError("a stream ends with its reply")


def _start(stored: EventsReply, arguments: argparse.Namespace, output: Output) -> int:
    """Return the number after which to begin. "From now on" is a number as well: a reconnection goes on from it.

    Raises:
        BgjobError: INVALID_ARGUMENT: --since is a number that no event has yet.
    """
    if arguments.since is None:
        return 0 if arguments.no_follow else stored.last_seq
    since = int(arguments.since)
    if since > stored.last_seq:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT,
            f"cannot print the events after number {since}: the newest has number {stored.last_seq}",
            "Leave out --since to begin now, or see what there is: bgjob events --since 0 --no-follow",
        )
    first = stored.oldest_seq or stored.last_seq + 1
    if 0 < since < first - 1:
        output.talk(f"bgjob: events before number {first} are not kept any more", "warn")
    return since


def _line(event: Event, output: Output) -> str:
    """Return `2026-11-23 14:05:09  3f2a9c1e build: ended: failed, exit code 3`."""
    who = f"{event.job_id[:8]} {printable(event.name)}".rstrip()
    what = event.type.value.replace("_", " ")
    notes = [_ending(event, output)] if event.type is EventType.ENDED else []
    if event.detail:
        notes.append(printable(event.detail))
    return f"{output.paint(local_time(event.time), 'dim')}  {who}: {': '.join([what, *notes])}"


def _ending(event: Event, output: Output) -> str:
    """Return how it ended: `failed, exit code 3`."""
    if event.status is None:
        return "?"
    parts = [output.paint(event.status.value, _STYLES.get(event.status, ""))]
    if event.reason is not None and event.reason.value not in ("exit", "signal"):
        parts.append(event.reason.value.replace("_", " "))
    if event.signal:
        parts.append(event.signal)
    elif event.exit_code:
        parts.append(f"exit code {event.exit_code}")
    return ", ".join(parts)
