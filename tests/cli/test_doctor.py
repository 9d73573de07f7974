"""`bgjob doctor`: what is fine and what is not."""

import json
import os
import re
import shlex
import signal
import subprocess
from typing import Any

import pytest

from bgjobd.paths import Paths
from bgjobd.protocol import DaemonStatusReply, SettingsReply
from tests.helpers.cli import BGJOB, Cli
from tests.helpers.daemon import Daemon
from tests.helpers.disks import mounted_disk
from tests.helpers.scripted_daemon import ScriptedDaemon


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
    told = cli("doctor").ok().stdout
    assert re.search(r"^max_jobs +64  \(default\)$", told, re.MULTILINE)
    assert re.search(r"^max_output_bytes +64.0 MiB  \(default\)$", told, re.MULTILINE)
    assert re.search(r"^stop_grace_s +5s  \(default\)$", told, re.MULTILINE)
    assert re.search(r"^timeout_s +none  \(default\)$", told, re.MULTILINE)


def test_a_directory_that_is_open_to_others_fails_with_advice(cli: Cli, home: str) -> None:
    os.chmod(home, 0o755)
    result = cli("doctor")
    assert result.status == 1
    assert f"chmod 700 {home}" in result.stdout
    os.chmod(home, 0o700)


def test_advice_can_be_pasted_into_a_shell(cli: Cli, workdir: str) -> None:
    home = f"{workdir}/with space $x"
    os.mkdir(home)
    os.chmod(home, 0o755)
    advice = finding(cli, "state directory", env={"BGJOB_HOME": home})["advice"]
    assert shlex.split(advice) == ["chmod", "700", home]


def test_a_state_directory_that_is_a_file_fails(cli: Cli, workdir: str) -> None:
    path = f"{workdir}/file"
    with open(path, "w", encoding="utf-8"):
        pass
    report = cli("doctor", "--json", env={"BGJOB_HOME": path})
    assert report.status == 1
    broken = [check for check in report.json["checks"] if check["result"] == "fail"]
    assert broken[0]["check"] == "state directory"


def finding(cli: Cli, check: str, *, env: dict[str, str] | None = None) -> dict[str, str]:
    """Return what the doctor finds about one thing; the worst, when there are several."""
    report = cli("doctor", "--json", env=env)
    found = [each for each in report.json["checks"] if each["check"] == check]
    assert found, report
    worst: dict[str, str] = max(found, key=lambda each: ["ok", "warn", "fail"].index(each["result"]))
    assert report.status == int(any(each["result"] == "fail" for each in report.json["checks"]))
    assert bool(worst["advice"]) is (worst["result"] != "ok")
    return worst


def configure(cli: Cli, text: str) -> None:
    with open(f"{cli.env['BGJOB_HOME']}/config.toml", "w", encoding="utf-8") as file:
        file.write(text)


def test_a_mistake_in_the_configuration_is_found_before_a_daemon_needs_it(cli: Cli) -> None:
    assert finding(cli, "configuration")["result"] == "ok"
    configure(cli, 'max_jobs = "many"\n')
    found = finding(cli, "configuration")
    assert found["result"] == "fail"
    assert "max_jobs = 'many'" in found["detail"]


def test_a_variable_that_is_no_setting_is_pointed_out_and_its_value_is_not_shown(cli: Cli) -> None:
    found = finding(cli, "configuration", env={"BGJOB_MAX_JOB": "s3cret", "BGJOB_EXIT_CODE": "1"})
    assert found["result"] == "warn"
    assert found["detail"] == "BGJOB_MAX_JOB is no setting: BGJOB_MAX_JOBS is"
    found = finding(cli, "configuration", env={"BGJOB_\x1b[31m": "1", "BGJOB_\udcff": "1"})
    assert found["detail"] == "BGJOB_\\e[31m is no setting; BGJOB_\\udcff is no setting"


def test_a_configuration_that_cannot_be_read_fails(cli: Cli, workdir: str) -> None:
    assert finding(cli, "configuration", env={"BGJOB_CONFIG": workdir})["result"] == "fail"


def test_few_descriptors_are_a_warning(cli: Cli) -> None:
    line = f"ulimit -n 200; exec {BGJOB} doctor --json"
    done = subprocess.run(["sh", "-c", line], env=cli.env, capture_output=True, check=False)
    [found] = [each for each in json.loads(done.stdout)["checks"] if each["check"] == "open files"]
    assert (found["result"], "200" in found["detail"]) == ("warn", True)


def test_a_socket_that_a_crash_left_is_no_trouble(cli: Cli, daemon: Daemon) -> None:
    daemon.kill()
    assert os.path.exists(daemon.paths.socket)
    assert finding(cli, "daemon")["result"] == "ok"
    cli("ls").ok()


def test_a_file_in_the_sockets_place_fails(cli: Cli) -> None:
    paths = Paths.from_environment(cli.env)
    paths.ensure()
    with open(paths.socket, "w", encoding="utf-8"):
        pass
    assert finding(cli, "socket")["result"] == "fail"
    os.unlink(paths.socket)


def test_a_socket_that_is_open_to_others_fails(cli: Cli, daemon: Daemon) -> None:
    os.chmod(daemon.paths.socket, 0o666)
    assert finding(cli, "socket")["result"] == "fail"
    os.chmod(daemon.paths.socket, 0o600)
    assert finding(cli, "socket")["result"] == "ok"


def test_a_daemon_of_another_version_is_a_warning(cli: Cli) -> None:
    def script(peer: Any) -> None:
        peer.greet()
        status = DaemonStatusReply(
            pid=1, version="9.9.9", protocol="1.0", socket="/s", state_dir="/d", uptime_s=1.0, started="", jobs={}
        )
        peer.answer(peer.call().id, status)

    def settings(peer: Any) -> None:
        peer.greet()
        peer.answer(peer.call().id, SettingsReply(settings=[]))

    with ScriptedDaemon(Paths.from_environment(cli.env), script, settings):
        found = finding(cli, "daemon")
    assert (found["result"], "9.9.9" in found["detail"], "restart" in found["advice"]) == ("warn", True, True)


@pytest.mark.slow
def test_a_daemon_that_hangs_fails_and_is_not_taken_for_none(cli: Cli, daemon: Daemon) -> None:
    daemon.signal(signal.SIGSTOP)
    found = finding(cli, "daemon")
    daemon.signal(signal.SIGCONT)
    assert (found["result"], "kill -KILL" in found["advice"]) == ("fail", True)


def test_a_damaged_job_directory_is_a_warning_that_names_the_job(cli: Cli, daemon: Daemon) -> None:
    job = cli.submit("exec sleep 600")
    cli("kill", job).ok()
    daemon.stop()
    with open(f"{daemon.paths.job_dir(job)}/spec", "w", encoding="utf-8") as file:
        file.write("garbage")
    with open(f"{daemon.paths.live_dir}/{job}", "w", encoding="utf-8"):
        pass
    daemon.start()
    found = finding(cli, "daemon")
    assert (found["result"], job in found["detail"]) == ("warn", True)


@pytest.mark.root
def test_a_directory_of_somebody_else_fails(cli: Cli, workdir: str) -> None:
    foreign = f"{workdir}/foreign"
    os.mkdir(foreign, 0o700)
    os.chown(foreign, 12345, 12345)
    assert finding(cli, "state directory", env={"BGJOB_HOME": foreign})["result"] == "fail"


@pytest.mark.root
def test_a_disk_that_is_full_fails(cli: Cli, workdir: str) -> None:
    disk = f"{workdir}/disk"
    os.mkdir(disk)
    with mounted_disk(disk, "size=1m,mode=700"):
        assert finding(cli, "disk", env={"BGJOB_HOME": disk})["result"] == "fail"
