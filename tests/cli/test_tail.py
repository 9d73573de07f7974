"""`bgjob tail`: the last lines, and what follows."""

import json
import re
import signal
from pathlib import Path

import pytest

from bgjobd.paths import Paths
from tests.helpers.cli import Cli

pytestmark = pytest.mark.shared


def numbers(cli: Cli) -> str:
    job = cli.submit("seq 100")
    cli("wait", job).ok()
    return job


def test_fifty_lines_are_the_last_fifty(cli: Cli) -> None:
    job = numbers(cli)
    assert cli("tail", job).ok().stdout == "".join(f"{number}\n" for number in range(51, 101))
    assert cli("tail", "-n", "2", job).ok().stdout == "99\n100\n"
    assert cli("tail", "-n", "0", job).ok().stdout == ""
    assert cli("tail", "-n", "1000", job).ok().stdout == cli("output", job).stdout


def test_a_number_that_is_no_option_says_which_one_it_is(cli: Cli) -> None:
    result = cli("tail", "-5", numbers(cli))
    assert result.status == 2
    assert "-n 5" in result.stderr


def test_one_stream_can_be_chosen(cli: Cli) -> None:
    job = cli.submit("echo out; echo err >&2")
    cli("wait", job).ok()
    assert cli("tail", "--stderr", job).ok().stdout == "err\n"
    assert cli("tail", "--stdout", job).ok().stdout == "out\n"


def test_a_follow_shows_what_comes_and_ends_with_the_job(cli: Cli) -> None:
    job = cli.submit("echo first; read x; echo $x; exit 3")
    with cli.start("tail", "-f", job) as tail:
        assert tail.stdout.line() == "first"
        cli("send", job, "second").ok()
        assert tail.stdout.line() == "second"
        assert tail.wait() == 0


def test_a_follow_shows_an_unfinished_line_at_once(cli: Cli) -> None:
    job = cli.submit("printf 'name? '; read x; echo hello $x")
    with cli.start("tail", "-f", job) as tail:
        tail.stdout.expect(r"name\? ")
        cli("send", job, "bob").ok()
        tail.stdout.expect("hello bob")


def test_interrupting_a_follow_ends_only_the_looking(cli: Cli) -> None:
    job = cli.submit("echo ready; sleep 1000")
    with cli.start("tail", "-f", job) as tail:
        assert tail.stdout.line() == "ready"
        tail.signal(signal.SIGINT)
        assert tail.wait() == -signal.SIGINT
        assert tail.stderr.rest() == ""
    assert cli("status", job, "--json").json["status"] == "running"


def test_json_follows_with_one_object_per_line(cli: Cli) -> None:
    job = cli.submit("echo first; read x; echo $x >&2")
    with cli.start("tail", "-f", "--json", job) as tail:
        assert json.loads(tail.stdout.line())["text"] == "first"
        cli("send", job, "second").ok()
        second = json.loads(tail.stdout.line())
        assert (second["type"], second["stream"], second["text"]) == ("output", "stderr", "second")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", second["time"])
        end = json.loads(tail.stdout.line())
        assert (end["type"], end["job"]["status"]) == ("end", "completed")


def test_json_without_follow_is_one_document(cli: Cli) -> None:
    result = cli("tail", "-n", "2", "--json", numbers(cli)).ok()
    assert result.stdout.count("\n") == 1  # as every document in a pipe
    document = result.json
    assert [line["text"] for line in document["lines"]] == ["99", "100"]


def test_timestamps_stand_before_each_line(cli: Cli) -> None:
    job = cli.submit("echo one; echo two; printf three")
    cli("wait", job).ok()
    lines = cli("tail", "-t", job).ok().stdout.splitlines()
    stamp = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}"
    assert [re.fullmatch(rf"{stamp} (\w+)", line)[1] for line in lines] == ["one", "two", "three"]  # type: ignore[index]


def test_a_damaged_index_makes_times_unknown(cli: Cli) -> None:
    job = cli.submit("echo one")
    cli("wait", job).ok()
    (index,) = Path(Paths.from_environment(cli.env).job_dir(job), "log").glob("*.idx")
    index.write_text("garbage\n")
    assert re.fullmatch(r"time unknown +one\n", cli("tail", "-t", job).ok().stdout)
    assert cli("tail", "--json", job).ok().json["lines"][0]["time"] is None


def test_plain_shows_what_a_terminal_would_in_the_end(cli: Cli) -> None:
    job = cli.submit(r"printf '10%%\r50%%\r100%%\n\033[31mred\033[0m\n'")
    cli("wait", job).ok()
    assert cli("tail", "--plain", job).ok().stdout == "100%\nred\n"
    assert "\x1b[31m" in cli("tail", job).stdout


def test_since_continues_where_a_reader_was(cli: Cli) -> None:
    job = numbers(cli)
    cursor = cli("tail", "--json", "-n", "1", job).json["cursor"]
    assert cli("tail", "--since", str(cursor - 4), job).ok().stdout == "100\n"
    assert cli("tail", "--since", str(cursor), job).ok().stdout == ""
