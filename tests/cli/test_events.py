"""`bgjob events`: what happens, once each, in order, also over a crash of the daemon."""

import json
import os
import re
import signal

import pytest

from bgjob_cli import exit_status
from bgjobd.protocol import Event
from tests.helpers.cli import Cli
from tests.helpers.daemon import Daemon
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.shared


@pytest.fixture
def own_cli(env: dict[str, str], workdir: str) -> Cli:
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


def test_what_is_no_number_of_an_event_is_told_so(cli: Cli) -> None:
    result = cli("events", "--since", "x")
    assert result.status == 2
    assert "number of an event" in result.stderr


def test_a_number_that_no_event_has_yet_is_refused_and_the_newest_is_fine(cli: Cli) -> None:
    cli("wait", cli.submit("true")).ok()
    newest = json.loads(cli("events", "--no-follow", "--json").ok().stdout.splitlines()[-1])["seq"]
    nothing = cli("events", "--no-follow", "--since", str(newest)).ok()
    assert (nothing.stdout, nothing.stderr) == ("", "")
    for more in ([], ["--no-follow"], ["--json"]):
        refused = cli("events", "--since", str(newest + 1), *more)
        assert (refused.status, refused.stdout) == (exit_status.USAGE, "")
        assert f"number {newest + 1}: the newest has number {newest}\n" in refused.stderr


def test_the_events_of_a_job_end_when_it_is_forgotten(cli: Cli) -> None:
    job = cli.submit("-n", "gone", "true")
    cli("wait", job).ok()
    with cli.start("events", "--job", "gone", "--since", "0") as events:
        events.stdout.expect(r"gone: ended: completed$")
        cli("rm", job).ok()
        events.stdout.expect(r"gone: removed$")
        assert events.wait() == exit_status.OK
        events.stderr.expect(r"^bgjob: the job is forgotten; nothing more can happen to it$")


def test_events_that_are_not_kept_any_more_are_told(own_cli: Cli, daemon: Daemon) -> None:
    own_cli("wait", own_cli.submit("true")).ok()
    daemon.stop()
    os.unlink(daemon.paths.history_db)
    daemon.start()
    told = own_cli("events", "--since", "1", "--no-follow").ok()
    assert told.stdout == ""
    assert re.fullmatch(r"bgjob: events before number \d+ are not kept any more\n", told.stderr)
    assert own_cli("events", "--since", "0", "--no-follow").ok().stderr == ""


@pytest.mark.shared(False)
def test_events_are_followed_over_a_crash_of_the_daemon(own_cli: Cli, daemon: Daemon) -> None:
    with own_cli.start("events", "--json") as events:
        wait_until(lambda: watched(own_cli), "the command to watch")
        first = own_cli.submit("true")
        assert json.loads(events.stdout.expect(r'^.*"type":"ended".*$')[0])["job_id"] == first
        daemon.kill()
        second = own_cli.submit("exit 2")
        events.stdout.expect(rf'^.*"type":"ended","job_id":"{second}".*$')  # the first one's may come again
        events.signal(signal.SIGINT)
        assert events.wait() == -signal.SIGINT
    seen = [json.loads(line)["seq"] for line in events.stdout.transcript.splitlines()]
    assert seen == sorted(set(seen))
