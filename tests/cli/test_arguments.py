"""Where the options of `run` end and its command begins, and arguments that are refused."""

import importlib
import os

import pytest

from bgjob_cli.arguments import Parser, options_length
from bgjob_cli.commands import prune
from bgjob_cli.verbs import VERBS
from bgjobd.paths import Paths
from tests.helpers.cli import Cli

VALUED = {"-n", "--name", "-C", "--cwd"}


@pytest.fixture
def cli(env: dict[str, str], workdir: str) -> Cli:
    """An instance of its own."""
    return Cli(env, workdir)


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["ls", "-l"], ["ls", "-l"]),
        (["-w", "ls", "-w"], ["ls", "-w"]),
        (["-n", "x", "ls"], ["ls"]),
        (["-nx", "ls"], ["ls"]),
        (["-wn", "x", "ls"], ["ls"]),
        (["-wnx", "ls"], ["ls"]),
        (["--name", "x", "ls"], ["ls"]),
        (["--name=x", "ls"], ["ls"]),
        (["--", "-n", "x"], ["-n", "x"]),
        (["-w", "--", "ls", "--", "x"], ["ls", "--", "x"]),
        (["-n", "--", "ls"], ["ls"]),
        (["-", "x"], ["-", "x"]),
        (["-w"], []),
        (["-n"], []),
        ([], []),
        (["", "x"], ["", "x"]),
    ],
)
def test_options_end_at_the_first_word_that_is_none(words: list[str], command: list[str]) -> None:
    length, begin = options_length(words, VALUED)
    assert words[begin:] == command
    assert length <= begin


@pytest.mark.parametrize(
    "words",
    [
        ["run"],
        ["run", "-t", "5x", "true"],
        ["run", "-t", "0s", "true"],
        ["run", "--max-output", "20M", "true"],
        ["run", "--bogus", "true"],
        ["run", "--nam", "x", "true"],
        ["run", "-e", "NOEQUALS", "true"],
        ["run", "-C", "/no/such/place", "true"],
        ["run", "--stdin", "/no/such/file", "cat"],
        ["run", "--env-file", "/no/such/file", "true"],
        ["status"],
        ["tail", "-n", "many", "x"],
        ["tail", "-n", "3", "--since", "4", "x"],
        ["output", "--stdout", "--stderr", "x"],
        ["output", "--since", "-1", "x"],
        ["wait", "--for", "port:0", "x"],
        ["wait", "--for", "port:http", "x"],
        ["wait", "--for", "quiet:", "x"],
        ["wait", "--for", "", "x"],
        ["prune"],
        ["doctor", "--torture", "0"],
        ["doctor", "--torture=-1"],
        ["daemon"],
        ["daemon", "dance"],
        ["completion"],
        ["completion", "tcsh"],
        ["ls", "--status", "sleeping"],
        ["--bogus"],
        ["nosuchverb"],
        ["top"],
    ],
)
def test_wrong_usage_ends_with_status_2_and_starts_nothing(cli: Cli, words: list[str]) -> None:
    result = cli(*words)
    assert result.status == 2, str(result)
    assert result.stderr
    assert not result.stdout
    assert not os.path.exists(Paths.from_environment(cli.env).socket)


def test_a_bad_value_is_quoted(cli: Cli) -> None:
    assert "'5x'" in cli("run", "-t", "5x", "true").stderr


def test_the_value_of_a_setting_never_shows_in_an_error(cli: Cli, workdir: str) -> None:
    with open(f"{workdir}/env", "w", encoding="utf-8") as file:
        file.write("OK=1\nhunter2 is my password\n")
    result = cli("run", "--env-file", "env", "true")
    assert result.status == 2
    assert "line 2" in result.stderr
    assert "hunter2" not in result.stderr
    assert "password" not in cli("run", "-e", "secret-password", "true").stderr


def test_a_description_is_wrapped_to_the_terminal_and_its_examples_are_kept() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "50")
        parser = Parser("bgjob prune", prune.DESCRIPTION)
        description = parser.format_help().partition("options:")[0]
    assert "  bgjob prune --older 7d --keep 100 --dry-run\n" in description
    lines = description.splitlines()
    assert max(map(len, lines)) <= 48
    assert [line for line in lines if line and not line.startswith(("usage", " "))] == [
        "Forget ended jobs and delete their output: those",
        "that ended longer ago than --older, and those",
        "beyond the newest --keep; with both, either is",
        "enough. A job that still runs is never removed.",
    ]


@pytest.mark.parametrize("verb", VERBS)
def test_examples_fit_a_terminal_of_80_columns(verb: str) -> None:
    description = importlib.import_module(f"bgjob_cli.commands.{verb}").DESCRIPTION
    assert [line for line in description.splitlines() if line.startswith(" ") and len(line) > 80] == []
