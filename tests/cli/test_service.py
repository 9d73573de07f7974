"""`bgjob service`: its files, checked by the programs that read them, and what it does where it cannot work."""

import os
import plistlib
import re
import shlex
import subprocess

import pytest

from bgjob_cli.service.launchd import Launchd
from bgjobd.daemon.cgroup import SERVICE_SUBGROUP
from bgjobd.paths import Paths
from tests.helpers.cli import Cli
from tests.helpers.waiting import wait_exit, wait_until

needs_systemd = pytest.mark.needs("systemd-socket-activate")


@pytest.fixture
def cli(env: dict[str, str], workdir: str) -> Cli:
    """An instance of its own, without a session bus: the service manager of who runs the tests is not touched."""
    return Cli(env | {"XDG_RUNTIME_DIR": workdir}, workdir)


def units(cli: Cli) -> dict[str, str]:
    """Return the texts of the units by the ends of their names."""
    files = cli("service", "install", "--print", "--json").ok().json["files"]
    return {file["path"].rpartition(".")[2]: file["text"] for file in files}


def values(unit: str, key: str) -> list[str]:
    return [line.partition("=")[2] for line in unit.splitlines() if line.startswith(f"{key}=")]


@needs_systemd
@pytest.mark.parametrize("name", ["plain", 'with space % $HOME "quoted" back\\slash'])
def test_systemd_accepts_the_units(cli: Cli, workdir: str, name: str) -> None:
    env = {"BGJOB_HOME": f"{workdir}/{name}", "BGJOB_CONFIG": f"{workdir}/{name}.toml"}
    for file in cli("service", "install", "--print", "--json", env=env).ok().json["files"]:
        with open(f"{workdir}/{os.path.basename(file['path'])}", "w", encoding="utf-8") as unit:
            unit.write(file["text"])
    found = [f"{workdir}/{entry}" for entry in os.listdir(workdir) if entry.startswith("bgjobd")]
    assert len(found) == 2
    verified = subprocess.run(
        ["systemd-analyze", "--user", "verify", "--man=no", *found],
        env=cli.env,
        capture_output=True,
        text=True,
        check=False,
    )
    # What systemd 254 has and an older one ignores, with these words.
    new = re.compile(r"Unknown key( name)? 'DelegateSubgroup' in section ['\[]Service['\]], ignoring")
    complaints = [line for line in verified.stderr.splitlines() if not new.search(line)]
    assert (verified.returncode, complaints) == (0, [])


def test_the_units_keep_jobs_running_and_the_socket_private(cli: Cli) -> None:
    found = units(cli)
    assert values(found["socket"], "ListenStream") == [Paths.from_environment(cli.env).socket]
    assert values(found["socket"], "SocketMode") == ["0600"]
    assert values(found["socket"], "DirectoryMode") == ["0700"]
    assert values(found["service"], "KillMode") == ["process"]
    assert values(found["service"], "OOMPolicy") == ["continue"]
    assert values(found["service"], "Delegate") == ["yes"]
    assert values(found["service"], "DelegateSubgroup") == [SERVICE_SUBGROUP]
    assert values(found["service"], "Environment") == [f'"BGJOB_HOME={cli.env["BGJOB_HOME"]}"']


def test_an_instance_of_its_own_has_units_of_its_own(cli: Cli, workdir: str) -> None:
    def paths(home: str) -> set[str]:
        files = cli("service", "install", "--print", "--json", env={"BGJOB_HOME": home}).ok().json["files"]
        return {os.path.basename(file["path"]) for file in files}

    assert paths("") == {"bgjobd.socket", "bgjobd.service"}
    assert not paths(f"{workdir}/one") & paths(f"{workdir}/two")


@needs_systemd
def test_who_needs_the_daemon_starts_the_service_and_who_only_looks_does_not(cli: Cli) -> None:
    """With systemd's own side of the activation, and the command that stands in the unit."""
    files = cli("service", "install", "--print", "--json").ok().json["files"]
    for file in files:
        os.makedirs(os.path.dirname(file["path"]), exist_ok=True)
        with open(file["path"], "w", encoding="utf-8") as unit:
            unit.write(file["text"])
    found = units(cli)
    Paths.from_environment(cli.env).ensure()
    [listen] = values(found["socket"], "ListenStream")
    [command] = values(found["service"], "ExecStart")
    manager = subprocess.Popen(
        ["systemd-socket-activate", "-l", listen, "-E", f"BGJOB_HOME={cli.env['BGJOB_HOME']}", *shlex.split(command)],
        env=cli.env,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: os.path.exists(listen), "the socket", directory=os.path.dirname(listen))
    looked = cli("daemon", "status", "--json")
    assert (looked.status, looked.json["running"]) == (6, False)
    assert cli("daemon", "stop").ok().stdout == "not running\n"
    assert cli("completion", "--candidates", "--", "kill", "").ok().stdout == ""
    [daemon] = [check for check in cli("doctor", "--json").json["checks"] if check["check"] == "daemon"]
    assert daemon["detail"] == "not running; systemd starts it when somebody connects"
    assert not os.path.exists(Paths.from_environment(cli.env).daemon_lock)
    assert cli("run", "--wait", "exit 3").status == 3
    assert cli("daemon", "status", "--json").ok().json["pid"] == manager.pid
    cli("daemon", "stop").ok()
    assert wait_exit(manager) == 0
    os.unlink(listen)


@pytest.mark.parametrize("action", ["install", "status"])
def test_without_a_service_manager_nothing_is_changed(cli: Cli, home: str, action: str) -> None:
    before = cli("run", "--wait", "true").ok()
    pid = cli("daemon", "status", "--json").json["pid"]
    result = cli("service", action)
    assert result.status == 6
    assert not os.path.exists(f"{home}/.config")
    assert cli("daemon", "status", "--json").json["pid"] == pid, before


def test_what_is_not_installed_can_be_uninstalled(cli: Cli) -> None:
    assert cli("service", "uninstall", "--json").ok().json["installed"] is False


def test_a_home_that_no_unit_can_hold_is_refused(cli: Cli, workdir: str) -> None:
    assert cli("service", "install", "--print", env={"BGJOB_HOME": f"{workdir}/a\nb"}).status == 2


def test_the_agent_for_launchd_is_a_property_list_that_keeps_jobs_running(
    home: str, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("BGJOB_HOME", home)
    [file] = Launchd(Paths.from_environment(env)).files
    agent = plistlib.loads(file.text.encode())
    assert file.path == f"{home}/Library/LaunchAgents/{agent['Label']}.plist"
    assert agent["AbandonProcessGroup"] is True
    assert agent["KeepAlive"] == {"SuccessfulExit": False}
    assert agent["EnvironmentVariables"] == {"BGJOB_HOME": home}
    assert os.access(agent["ProgramArguments"][0], os.X_OK)
