"""The configuration as a person meets it: a mistake is told by the command that starts the daemon; patterns refuse."""

import subprocess

import pytest

from tests.helpers.cli import Cli
from tests.helpers.daemon import BGJOBD


@pytest.fixture
def cli(env: dict[str, str], workdir: str) -> Cli:
    """An instance of its own."""
    return Cli(env, workdir)


def configure(cli: Cli, text: str) -> str:
    """Write the configuration file and return its path."""
    path = f"{cli.env['BGJOB_HOME']}/config.toml"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def test_a_mistake_is_told_with_its_place_by_the_command_that_needs_the_daemon(cli: Cli) -> None:
    path = configure(cli, 'max_jobs = "many"\n')
    result = cli("run", "true")
    assert result.status == 6
    first = result.stderr.splitlines()[0]
    assert first == (
        f"bgjob: cannot start the daemon: cannot use max_jobs = 'many' from {path}: "
        "accepted is a whole number from 1 to 10000"
    )
    assert cli("daemon", "status").status == 6


def test_a_mistake_in_a_variable_names_the_variable(cli: Cli) -> None:
    result = cli("ls", env={"BGJOB_NOTIFY": "mail"})
    assert result.status == 6
    assert "from BGJOB_NOTIFY: accepted is 'always' or 'failed' or 'never'" in result.stderr


def test_a_corrected_file_needs_nothing_else(cli: Cli) -> None:
    configure(cli, "max_jobs = [\n")
    assert cli("ls").status == 6
    configure(cli, "max_jobs = 3\n")
    cli("ls").ok()


def test_the_configuration_can_be_checked_without_a_daemon(cli: Cli) -> None:
    path = configure(cli, "max_jbos = 3\n")
    checked = subprocess.run([BGJOBD, "--check-config"], env=cli.env, capture_output=True, text=True, check=False)
    assert checked.returncode == 78
    assert "'max_jbos'" in checked.stderr
    assert path in checked.stderr
    configure(cli, "max_jobs = 3\n")
    assert subprocess.run([BGJOBD, "--check-config"], env=cli.env, check=False).returncode == 0
    assert cli("daemon", "status").status == 6


def test_commands_are_refused_by_pattern_and_the_pattern_is_named(cli: Cli) -> None:
    configure(cli, "allowed_commands = ['git ', 'printf ']\ndenied_commands = ['\\bpush\\b']\n")
    assert cli("run", "-w", "printf ok").status == 0
    assert cli("run", "-w", "printf", "ok").status == 0
    for command, pattern in (("make all", "git "), ("git push", "push"), ("printf a; git push -f", "push")):
        refused = cli("run", command)
        assert refused.status == 5
        assert f"cannot run {command!r}" in refused.stderr
        assert pattern in refused.stderr
    assert len(cli("ls", "--json").json["jobs"]) == 2
