"""`bgjob daemon`: it comes and goes, jobs stay."""

import os
import shutil
import signal
from collections.abc import Iterator

import pytest

import bgjobd
from bgjobd.paths import Paths
from tests.helpers.cli import Cli
from tests.helpers.daemon import Daemon
from tests.helpers.waiting import wait_gone


@pytest.fixture
def cli(env: dict[str, str], workdir: str) -> Cli:
    """An instance of its own."""
    return Cli(env, workdir)


def test_status_never_starts_it(cli: Cli, home: str) -> None:
    result = cli("daemon", "status")
    paths = Paths.from_environment({"BGJOB_HOME": home})
    assert result.status == 6
    assert result.stdout == f"not running\n  socket    {paths.socket}\n  state     {paths.state_dir}\n"
    absent = cli("daemon", "status", "--json")
    assert absent.status == 6
    assert (absent.json["running"], absent.json["pid"]) == (False, None)
    assert absent.json["socket"] == paths.socket
    assert not os.path.exists(absent.json["socket"])


def test_start_status_stop(cli: Cli) -> None:
    assert cli("daemon", "start").ok().stdout.startswith("started, pid ")
    assert cli("daemon", "start").ok().stdout.startswith("runs already, pid ")
    job = cli.submit("sleep 1000")
    status = cli("daemon", "status", "--json").ok().json
    assert status["running"] is True
    assert status["jobs"]["running"] == 1
    cli("kill", job).ok()
    assert status["uptime_s"] >= 0
    assert {"pid", "socket", "version", "uptime_s", "jobs"} <= set(status)
    assert cli("daemon", "stop").ok().stdout == f"stopped (it was pid {status['pid']})\n"
    assert cli("daemon", "status").status == 6
    assert cli("daemon", "stop").ok().stdout == "not running\n"
    assert cli("daemon", "stop", "--json").ok().json["running"] is False


@pytest.mark.soak
def test_a_daemon_that_hangs_is_not_taken_for_none_and_keeps_no_tab_waiting(cli: Cli, daemon: Daemon) -> None:
    cli("daemon", "status").ok()  # from then on it takes signals
    daemon.signal(signal.SIGSTOP)
    try:
        with (
            cli.start("daemon", "status") as status,
            cli.start("daemon", "start") as start,
            cli.start("daemon", "stop") as stop,
            cli.start("daemon", "stop", "--kill-jobs") as stop_jobs,
            cli.start("daemon", "restart") as restart,
        ):
            cli("completion", "--candidates", "--", "status", "").ok()
            assert status.process.poll() is None
            for command in (status, start, stop, stop_jobs, restart):
                assert (command.wait(), command.stdout.rest()) == (6, "")
            assert f"kill -KILL {daemon.pid}" in stop.stderr.rest()
            assert f"kill -KILL {daemon.pid}" in restart.stderr.rest()
    finally:
        daemon.signal(signal.SIGCONT)
    assert daemon.wait() == 0  # it takes what it was told meanwhile


def test_jobs_go_on_over_stop_and_restart(cli: Cli) -> None:
    job = cli.submit('echo one; read x; echo "$x"')
    cli("wait", job, "--for", "one").ok()
    pid = cli("daemon", "status", "--json").json["pid"]
    cli("daemon", "stop").ok()
    wait_gone(pid)
    assert cli("status", job, "--json").ok().json["status"] == "running"
    new = cli("daemon", "restart", "--json").ok().json
    assert new["running"] is True
    assert new["pid"] != pid
    cli("send", job, "two").ok()
    cli("wait", job).ok()
    assert cli("output", job).stdout == "one\ntwo\n"


def test_a_restart_with_a_wrong_configuration_leaves_the_daemon_alone(cli: Cli, home: str) -> None:
    pid = cli("daemon", "start", "--json").ok().json["pid"]
    with open(f"{home}/config.toml", "w", encoding="utf-8") as file:
        file.write("max_jobs = 0\n")
    result = cli("daemon", "restart")
    assert (result.status, result.stdout) == (6, "")
    assert "max_jobs = 0" in result.stderr
    assert cli("daemon", "status", "--json").ok().json["pid"] == pid


def test_stop_ends_the_jobs_only_when_told_so(cli: Cli) -> None:
    job = cli.submit("sleep 1000")
    pid = cli("status", job, "--json").json["pid"]
    cli("daemon", "stop", "--kill-jobs").ok()
    wait_gone(pid)
    info = cli("status", job, "--json").json
    assert info["status"] == "killed"


def test_logs_show_the_end_of_its_log(cli: Cli) -> None:
    assert cli("daemon", "logs").status == 8
    cli("daemon", "start").ok()
    assert "ready" in cli("daemon", "logs").ok().stdout
    assert len(cli("daemon", "logs", "-n", "1").ok().stdout.splitlines()) == 1
    with cli.start("daemon", "logs", "-f") as logs:
        logs.stdout.expect("ready")
        cli("daemon", "stop").ok()
        logs.stdout.expect("stopped")


@pytest.fixture
def newer_daemon(env: dict[str, str], workdir: str) -> Iterator[Daemon]:
    """A running daemon that speaks the next major version of the protocol: our own code, with another number."""
    package = os.path.join(workdir, "newer", "bgjobd")
    shutil.copytree(os.path.dirname(str(bgjobd.__file__)), package, ignore=shutil.ignore_patterns("__pycache__"))
    with open(os.path.join(package, "version.py"), "a", encoding="utf-8") as file:
        file.write("PROTOCOL_MAJOR += 1\n")
    daemon = Daemon(env | {"PYTHONPATH": os.path.dirname(package)})
    daemon.start()
    yield daemon
    daemon.close()


def test_a_daemon_of_another_major_version_is_told_and_can_be_restarted(cli: Cli, newer_daemon: Daemon) -> None:
    for words in (["ls"], ["daemon", "status"], ["daemon", "stop", "--kill-jobs"]):
        result = cli(*words)
        assert result.status == 7, str(result)
        assert "bgjob daemon restart" in result.stderr
    report = cli("doctor")
    assert report.status == 1
    assert "bgjob daemon restart" in report.stdout
    assert f"(it was pid {newer_daemon.pid})" in cli("daemon", "restart").ok().stdout
    newer_daemon.wait()
    assert cli("ls").ok().stdout == ""
