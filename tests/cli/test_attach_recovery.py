"""`bgjob attach` while the daemon dies and comes back, and with a configuration of its own."""

import os

import pytest

from tests.helpers.attached import DETACH, attached, pty_job
from tests.helpers.cli import Cli
from tests.helpers.daemon import Daemon


@pytest.fixture
def cli(env: dict[str, str], workdir: str) -> Cli:
    """The installed `bgjob` on an instance of its own."""
    return Cli(env, workdir)


def test_the_detach_keys_can_be_configured(cli: Cli, env: dict[str, str]) -> None:
    with open(os.path.join(env["BGJOB_HOME"], "config.toml"), "w") as config:
        config.write('detach_keys = "C-p C-q"\n')
    job = pty_job(cli, "echo ready; cat")
    with attached(cli, job) as window:
        window.expect("C-p C-q detaches")
        window.press("C-p", "C-q")
        window.expect("detached")
        assert window.wait() == 0


def test_a_killed_daemon_is_replaced_and_nothing_is_lost(cli: Cli, daemon: Daemon) -> None:
    job = pty_job(cli, 'echo ready; while read x; do echo "<$x>"; done')
    with attached(cli, job, rows=33, columns=99) as window:
        window.expect("ready")
        window.type("before\r")
        window.expect("<before>")
        daemon.kill()
        cli("send", job, "meanwhile").ok()  # starts another daemon
        window.expect("<meanwhile>")
        window.type("after\r")
        window.expect("<after>")
        with attached(cli, job, rows=50, columns=50) as second:
            second.expect("<after>")
            # The first window still counts: it told the new daemon again.
            second.press(DETACH, DETACH)
        reply = cli("screen", job, "--json").json
        assert (reply["rows"], reply["columns"]) == (33, 99)
        window.press("C-d")
        assert window.wait() == 0


def test_a_key_typed_after_the_daemon_died_brings_up_a_new_one(cli: Cli, daemon: Daemon) -> None:
    job = pty_job(cli, 'echo ready; read x; echo "<$x>"')
    with attached(cli, job) as window:
        window.expect("ready")
        daemon.kill()
        window.type("typed in between\r")
        window.expect("<typed in between>")
        assert window.wait() == 0
