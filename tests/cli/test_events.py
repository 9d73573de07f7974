"""`bgjob events`: what happens, once each, in order, also over a crash of the daemon."""

import json
import signal

import pytest

from bgjobd.protocol import Event
from tests.helpers.cli import Cli
from tests.helpers.daemon import Daemon
from tests.helpers.waiting import wait_until


@pytest.fixture
def cli(env: dict[str, str], workdir: str) -> Cli:
    """An instance of its own."""
    return Cli(env, workdir)


def watched(cli: Cli) -> bool:
    return bool(cli("daemon", "status", "--json").json["clients"] > 1)


def test_stored_events_are_printed_and_narrowed(cli: Cli) -> None:
    job = cli.submit("-n", "build", "exit 3")
    cli("wait", job)
    other = cli.submit("true")
    cli("wait", other).ok()
    lines = cli("events", "--no-follow", "--json").ok().stdout.splitlines()
    events = [json.loads(line) for line in lines]
    assert all(set(event) == set(Event.__struct_fields__) for event in events)
    assert [event["seq"] for event in events] == sorted({event["seq"] for event in events})
    [ended] = [event for event in events if event["type"] == "ended" and event["job_id"] == job]
    assert (ended["status"], ended["exit_code"], ended["name"]) == ("failed", 3, "build")
    narrowed = cli("events", "--no-follow", "--job", "build").ok().stdout
    assert narrowed.splitlines()[-1].endswith(f"  {job[:8]} build: ended: failed, exit code 3")
    assert other[:8] not in narrowed
    after = cli("events", "--no-follow", "--since", str(ended["seq"]), "--json").ok().stdout
    assert after.splitlines() == lines[lines.index(json.dumps(ended, separators=(",", ":"))) + 1 :]


def test_events_are_followed_over_a_crash_of_the_daemon(cli: Cli, daemon: Daemon) -> None:
    with cli.start("events", "--json") as events:
        wait_until(lambda: watched(cli), "the command to watch")
        first = cli.submit("true")
        assert json.loads(events.stdout.expect(r'^.*"type":"ended".*$')[0])["job_id"] == first
        daemon.kill()
        second = cli.submit("exit 2")
        assert json.loads(events.stdout.expect(r'^.*"type":"ended".*$')[0])["job_id"] == second
        events.signal(signal.SIGINT)
        assert events.wait() == -signal.SIGINT
    seen = [json.loads(line)["seq"] for line in events.stdout.transcript.splitlines()]
    assert seen == sorted(set(seen))
