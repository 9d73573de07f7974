"""The daemon goes and comes back in the middle of a command, and the command goes on."""

from typing import Any

import msgspec
import pytest

from bgjobd.paths import Paths
from bgjobd.protocol import Wait
from tests.helpers.cli import Cli
from tests.helpers.daemon import Daemon
from tests.helpers.scripted_daemon import ScriptedDaemon
from tests.helpers.waiting import wait_until

TICKS = 'n=0; echo ready; while read x; do n=$((n+1)); echo "tick $n"; done; exit 7'


@pytest.fixture
def cli(env: dict[str, str], workdir: str) -> Cli:
    """An instance of its own."""
    return Cli(env, workdir)


def restart(daemon: Daemon, how: str, cli: Cli) -> None:
    if how == "restart":
        cli("daemon", "restart").ok()
    elif how == "crash":
        daemon.kill()
    else:
        daemon.stop()
        daemon.start()


def follow_is_there(cli: Cli) -> None:
    """Return when a command beside the one that asks is connected."""
    wait_until(lambda: cli("daemon", "status", "--json").json["clients"] > 1, "a second client")


@pytest.mark.parametrize("how", ["restart", "crash", "stop and start"])
def test_a_follow_continues_at_its_cursor(cli: Cli, daemon: Daemon, how: str) -> None:
    job = cli.submit(TICKS)
    with cli.start("tail", "-f", job) as tail:
        assert tail.stdout.line() == "ready"
        cli("send", job, "").ok()
        assert tail.stdout.line() == "tick 1"
        restart(daemon, how, cli)
        cli("send", job, "").ok()
        assert tail.stdout.line() == "tick 2"
        cli("send", job, "", "--eof").ok()
        assert tail.stdout.line() == "tick 3"
        assert tail.wait() == 0
        assert tail.stdout.rest() == ""


@pytest.mark.parametrize("how", ["restart", "crash"])
def test_a_wait_goes_on(cli: Cli, daemon: Daemon, how: str) -> None:
    job = cli.submit(TICKS)
    with cli.start("wait", job) as wait:
        follow_is_there(cli)
        restart(daemon, how, cli)
        cli("send", job, "--eof", "").ok()
        assert wait.wait() == 7


def test_a_wait_that_is_asked_again_has_only_the_time_that_is_left(cli: Cli) -> None:
    asked: list[Wait] = []

    def take_wait(peer: Any) -> None:
        peer.greet()
        call = peer.call()
        asked.append(msgspec.msgpack.decode(call.body, type=Wait))
        if len(asked) == 2:
            peer.fail(call.id, "no_such_job")

    with ScriptedDaemon(Paths.from_environment(cli.env), take_wait, take_wait):
        assert cli("wait", "build", "-t", "1h").status == 4
    first_s, second_s = (request.timeout_s or 0.0 for request in asked)
    assert 3600 >= first_s > second_s > 0


@pytest.mark.slow
def test_output_is_exact_over_restarts(cli: Cli, daemon: Daemon) -> None:
    with cli.start(
        "run", "-f", "-n", "count", "read x; seq 200000; read x; seq 200000; echo end >&2; exit 5"
    ) as follow:
        follow_is_there(cli)
        cli("send", "count", "").ok()
        restart(daemon, "crash", cli)
        cli("wait", "count", "--for", "^200000$").ok()
        restart(daemon, "restart", cli)
        cli("send", "count", "").ok()
        exact = follow.stdout.rest() == "".join(f"{number}\n" for number in range(1, 200001)) * 2
        assert exact
        assert follow.stderr.rest() == "end\n"
        assert follow.wait() == 5


@pytest.mark.slow
def test_a_follow_does_not_bring_back_a_daemon_that_was_stopped(cli: Cli, daemon: Daemon) -> None:
    job = cli.submit(TICKS)
    with cli.start("tail", "-f", job) as tail:
        assert tail.stdout.line() == "ready"
        cli("daemon", "stop").ok()
        assert tail.wait() == 6
    assert cli("daemon", "status").status == 6
    cli("kill", job).ok()


def test_input_is_never_sent_twice_and_the_error_says_how_much_was_taken(cli: Cli, daemon: Daemon) -> None:
    job = cli.submit('while read x; do echo "got $x"; done')
    with cli.start("send", job) as send:
        send.stdin.write(b"one\n")
        send.stdin.flush()
        cli("wait", job, "--for", "got one").ok()
        daemon.kill()
        send.stdin.write(b"two\n")
        send.stdin.close()
        assert send.wait() == 6
        assert "4 bytes were taken" in send.stderr.rest()
    cli("send", job, "--eof", "three").ok()
    cli("wait", job).ok()
    assert cli("output", job).ok().stdout in ("got one\ngot three\n", "got one\ngot two\ngot three\n")
