"""Completion: what a Tab offers, and that bash takes it."""

import shutil
import subprocess

import pytest

from bgjob_cli.verbs import VERBS
from tests.helpers.cli import Cli
from tests.helpers.pty import Terminal

pytestmark = pytest.mark.shared


@pytest.fixture
def cli(env: dict[str, str], workdir: str) -> Cli:
    """An instance of its own."""
    return Cli(env, workdir)


def offered(cli: Cli, *words: str) -> list[str]:
    lines = cli("completion", "--candidates", "--", *words).ok().stdout.splitlines()
    return [line.split("\t")[0] for line in lines]


def test_verbs_are_offered(cli: Cli) -> None:
    assert set(offered(cli, "")) == {*VERBS, "ps"}
    assert offered(cli, "st") == ["status"]


def test_options_are_those_of_the_parser(cli: Cli) -> None:
    assert "--idle-timeout" in offered(cli, "run", "--i")
    assert offered(cli, "run", "--wa") == ["--wait"]
    assert offered(cli, "daemon", "stop", "--k") == ["--kill-jobs"]
    assert offered(cli, "nosuchverb", "") == []


def test_fixed_values_are_offered(cli: Cli) -> None:
    assert offered(cli, "ls", "--status", "c") == ["completed"]
    assert offered(cli, "kill", "-s", "TE") == ["TERM"]
    assert offered(cli, "run", "--stop-signal", "TE") == ["TERM"]
    assert set(offered(cli, "daemon", "st")) == {"start", "stop", "status"}


def test_jobs_are_offered_where_they_fit(cli: Cli) -> None:
    running, ended = cli.submit("-n", "server", "sleep 1000"), cli.submit("-n", "tests", "true")
    cli("wait", ended).ok()
    assert offered(cli, "status", "") == ["server", running[:8], "tests", ended[:8]]
    assert offered(cli, "kill", "se") == ["server"]
    assert offered(cli, "kill", "te") == []
    assert offered(cli, "rm", "te") == ["tests"]
    assert offered(cli, "tail", "-n", "5", "se") == ["server"]
    assert offered(cli, "tail", "server", "") == []
    assert offered(cli, "events", "--job", "se") == ["server"]
    assert "server" in offered(cli, "wait", "tests", "")


@pytest.mark.shared(False)
def test_a_tab_starts_nothing(cli: Cli) -> None:
    assert offered(cli, "status", "") == []
    assert cli("daemon", "status").status == 6


def test_bash_completes_with_the_script(cli: Cli, env: dict[str, str]) -> None:
    cli.submit("-n", "server", "sleep 1000")
    script = """
    source <(bgjob completion bash)
    try() { COMP_LINE="$1" COMP_POINT=${#1}; read -ra COMP_WORDS <<< "$1"; [[ $1 == *' ' ]] && COMP_WORDS+=("");
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _bgjob bgjob "${COMP_WORDS[-1]}" bgjob; echo "${COMPREPLY[*]}"; }
    try 'bgjob comp'; try 'bgjob tail -f ser'; try 'bgjob run --merge'
    """
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["completion", "server", "--merge-stderr"]
    assert done.stderr == ""


@pytest.mark.slow
def test_bash_completes_a_name_with_a_colon(cli: Cli, env: dict[str, str]) -> None:
    cli.submit("-n", "web:dev", "sleep 1000")
    with Terminal(["bash", "--norc", "--noprofile", "-i"], env | {"PS1": "$ "}) as shell:
        shell.type("source <(bgjob completion bash); echo re''ady\r")
        shell.expect("ready")
        for typed in ("status we", "status web:", "status web:d", "tail web:d", "kill web:d"):
            shell.type(f"bgjob {typed}")
            shell.press("Tab")
            shell.expect(f"bgjob {typed.split()[0]} web:dev ")
            shell.press("Enter")
            shell.expect(r"web:dev|\$ ")
        shell.type("exit\r")
        assert shell.wait() == 0
    assert cli("status", "web:dev", "--json").json["status"] == "killed"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_that_the_shell_can_read(cli: Cli, env: dict[str, str], shell: str) -> None:
    script = cli("completion", shell).ok().stdout
    assert "bgjob completion --candidates --" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, env=env, text=True, check=True)
