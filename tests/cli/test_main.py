"""What holds for every verb: unknown words, closed and broken streams, the version."""

import os
import signal
import subprocess
import sys

import pytest

from bgjob_cli import commands
from bgjob_cli.verbs import ALIASES, LATER, OTHER_WORDS, VERBS
from bgjobd.version import VERSION
from tests.helpers.cli import BGJOB, Cli


def test_the_verbs_are_the_files() -> None:
    folder = os.path.dirname(str(commands.__file__))
    files = {name.removesuffix(".py") for name in os.listdir(folder) if name.endswith(".py")}
    assert files - {"__init__"} == set(VERBS)
    assert not set(LATER) & set(VERBS)
    assert not set(OTHER_WORDS) & {*VERBS, *ALIASES, *LATER}
    assert {*ALIASES.values(), *OTHER_WORDS.values()} <= set(VERBS)


def test_the_version_is_printed(cli: Cli) -> None:
    assert cli("--version").ok().stdout == f"bgjob {VERSION}\n"


@pytest.mark.parametrize(
    ("word", "verb"), [("stat", "status"), ("tial", "tail"), ("logs", "tail"), ("stop", "kill"), ("lgos", "tail")]
)
def test_an_unknown_verb_is_answered_with_the_right_word(cli: Cli, word: str, verb: str) -> None:
    result = cli(word)
    assert result.status == 2
    assert f"bgjob {verb}" in result.stderr


def test_options_in_front_of_the_verb_are_told_where_they_belong(cli: Cli) -> None:
    result = cli("--color", "always", "kill", "build")
    assert result.status == 2
    assert "bgjob kill --color" in result.stderr
    assert "behind the verb" not in cli("--frobnicate").stderr


@pytest.mark.parametrize("word", LATER)
def test_reserved_words_are_not_taken_for_commands(cli: Cli, word: str) -> None:
    result = cli(word, "x")
    assert result.status == 2
    assert "not in this version" in result.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(cli: Cli, verb: str) -> None:
    text = cli(verb, "--help").ok().stdout
    assert text.startswith(f"usage: bgjob {verb}")
    assert cli("help", verb).ok().stdout == text
    assert verb in cli("--help").ok().stdout


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"]])
def test_help_needs_no_locale(cli: Cli, words: list[str]) -> None:
    text = cli(*words).ok().raw_stdout
    assert "…".encode() in text
    assert cli(*words, env={"PYTHONIOENCODING": "ascii"}).ok().raw_stdout == text


def test_a_width_that_no_terminal_has_is_passed_over(cli: Cli) -> None:
    assert cli("run", "--help", env={"COLUMNS": "9" * 5000}).ok().stdout == cli("run", "--help").ok().stdout


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is full")
@pytest.mark.parametrize("words", [["run", "--help"], ["--help"], ["--version"]])
def test_help_that_cannot_be_written_is_an_error(cli: Cli, words: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run([BGJOB, *words], env=cli.env, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert b"cannot write to stdout" in done.stderr.splitlines()[0]


def test_a_reader_that_goes_away_ends_us_like_any_command(cli: Cli) -> None:
    job = cli.submit("yes | head -c 3000000")
    cli("wait", job).ok()
    with cli.start("output", job) as output:
        assert output.stdout.line() == "y"
        assert output.process.stdout
        output.process.stdout.close()
        assert output.wait() == -signal.SIGPIPE
        assert output.stderr.rest() == ""


def test_help_into_a_closed_pipe_says_nothing(cli: Cli) -> None:
    script = f"trap '' PIPE; {{ {BGJOB} run --help; echo $? >&2; }} | true"
    done = subprocess.run(["sh", "-c", script], env=cli.env, capture_output=True, text=True, check=False)
    assert done.stderr.strip() in ("0", "141")


@pytest.mark.parametrize("closing", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_standard_streams_do_no_harm(cli: Cli, closing: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{BGJOB} run -n closed sleep 1000 {closing}"],
        env=cli.env, cwd=cli.cwd, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == (1 if ">&-" in closing.split() else 0), done.stderr
    assert cli("status", "closed", "--json").ok().json["status"] == "running"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the device is Linux's")
def test_a_full_disk_is_told(cli: Cli) -> None:
    job = cli.submit("echo hello")
    cli("wait", job).ok()
    done = subprocess.run(
        ["sh", "-c", f"{BGJOB} output {job} > /dev/full"], env=cli.env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "cannot write to stdout: No space left on device" in done.stderr


def test_it_runs_as_a_module(cli: Cli) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bgjob_cli", "--version"], env=cli.env, capture_output=True, check=True
    )
    assert done.stdout.decode() == f"bgjob {VERSION}\n"


def test_a_home_that_cannot_be_used_is_told(cli: Cli) -> None:
    result = cli("ls", env={"BGJOB_HOME": "relative"})
    assert result.status == 2
    assert "'relative'" in result.stderr
