"""`bgjob send`: what a job reads."""

import os
import subprocess

import pytest

from tests.helpers.cli import BGJOB, Cli
from tests.helpers.pty import Terminal
from tests.helpers.waiting import DEADLINE_S

pytestmark = pytest.mark.shared


def test_text_is_sent_with_its_newline(cli: Cli) -> None:
    job = cli.submit('read a; read b; echo "$a-$b"')
    cli("send", job, "one").ok()
    cli("send", job, "two").ok()
    cli("wait", job).ok()
    assert cli("output", job).stdout == "one-two\n"


def test_no_newline_and_the_end_of_input(cli: Cli) -> None:
    job = cli.submit("od", "-c")
    cli("send", job, "ab", "--no-newline").ok()
    cli("send", job, "--eof", "--no-newline", "c").ok()
    cli("wait", job).ok()
    assert cli("output", job).stdout.split()[1:4] == ["a", "b", "c"]


def test_our_own_input_is_sent_whole(cli: Cli) -> None:
    data = os.urandom(1_000_000)
    job = cli.submit("cat", "-")
    sent = cli("send", job, "--eof", "--json", input=data).ok().json
    assert (sent["job_id"], sent["accepted_bytes"], sent["eof"]) == (job, len(data), True)
    cli("wait", job).ok()
    assert cli("output", job).raw_stdout == data


def test_json_says_where_to_look_for_the_answer(cli: Cli) -> None:
    job = cli.submit('echo ready; read x; echo "got $x"; sleep 1000')
    cli("wait", job, "--for", "ready").ok()
    cursor = cli("send", job, "hello", "--json").ok().json["cursor"]
    cli("wait", job, "--for", "got").ok()
    assert cli("tail", job, "--since", str(cursor)).ok().stdout == "got hello\n"


def test_an_input_that_cannot_be_read_is_told_and_the_job_goes_on(cli: Cli) -> None:
    job = cli.submit("cat", "-")
    done = subprocess.run(
        ["bash", "-c", f"bgjob send --eof {job} <&-"],
        env=cli.env,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 2
    assert "standard input" in done.stderr.splitlines()[0]
    assert cli("status", job, "--json").json["status"] == "running"


def test_an_ended_job_takes_nothing(cli: Cli) -> None:
    job = cli.submit("true")
    cli("wait", job).ok()
    assert cli("send", job, "x").status == 3
    assert cli("send", job, input=b"x").status == 3


def test_a_closed_input_takes_nothing(cli: Cli) -> None:
    job = cli.submit("cat; echo closed; sleep 1000")
    cli("send", job, "--eof", "last").ok()
    cli("wait", job, "--for", "closed").ok()
    assert cli("send", job, "x").status == 3


def test_a_job_that_does_not_read_is_told_after_the_timeout(cli: Cli) -> None:
    job = cli.submit("echo ready; sleep 1000")
    cli("wait", job, "--for", "ready").ok()
    result = cli("send", job, "-t", "200ms", input=b"x" * 3_000_000)
    assert result.status == 5
    assert "took" in result.stderr


def test_lines_typed_on_a_terminal_arrive_one_by_one(cli: Cli) -> None:
    job = cli.submit('while read x; do echo "got $x"; done; echo end')
    with Terminal([BGJOB, "send", "--eof", job], cli.env) as terminal:
        terminal.type("\x04")
        assert terminal.wait() == 0
    with cli.start("tail", "-f", job) as tail:
        tail.stdout.expect("end")
    other = cli.submit('while read x; do echo "got $x"; done')
    with Terminal([BGJOB, "send", other], cli.env) as terminal, cli.start("tail", "-f", other) as tail:
        terminal.expect("Ctrl-D")
        terminal.type("one\r")
        tail.stdout.expect("got one")
        terminal.type("two\r")
        tail.stdout.expect("got two")
        terminal.press("C-d")
        assert terminal.wait() == 0
