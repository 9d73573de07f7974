"""`bgjob doctor`: what is fine and what is not."""

import os

import pytest

from tests.helpers.cli import Cli


@pytest.fixture
def cli(env: dict[str, str], workdir: str) -> Cli:
    """An instance of its own."""
    return Cli(env, workdir)


def test_a_healthy_machine_passes_and_nothing_is_started(cli: Cli) -> None:
    result = cli("doctor").ok()
    assert all(line[:4].strip() in ("ok", "warn", "") for line in result.stdout.splitlines())
    assert cli("daemon", "status").status == 6


def test_a_running_daemon_is_asked_for_its_settings(cli: Cli) -> None:
    cli("daemon", "start").ok()
    report = cli("doctor", "--json").ok().json
    assert report["ok"] is True
    settings = {setting["key"]: setting for setting in report["settings"]}
    assert settings["max_jobs"]["source"]
    assert {"check", "result", "detail", "advice"} == set(report["checks"][0])
    assert "max_jobs" in cli("doctor").ok().stdout


def test_a_directory_that_is_open_to_others_fails_with_advice(cli: Cli, home: str) -> None:
    os.chmod(home, 0o755)
    result = cli("doctor")
    assert result.status == 1
    assert f"chmod 700 {home}" in result.stdout
    os.chmod(home, 0o700)


def test_a_state_directory_that_is_a_file_fails(cli: Cli, workdir: str) -> None:
    path = f"{workdir}/file"
    with open(path, "w", encoding="utf-8"):
        pass
    report = cli("doctor", "--json", env={"BGJOB_HOME": path})
    assert report.status == 1
    broken = [check for check in report.json["checks"] if check["result"] == "fail"]
    assert broken[0]["check"] == "state directory"
