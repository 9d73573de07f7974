"""`bgjob answer`: a person types a secret in their own terminal, and it is nowhere else."""

import sys

import pytest

from tests.helpers.attached import pty_job
from tests.helpers.cli import BGJOB, Cli
from tests.helpers.pty import Terminal
from tests.helpers.waiting import wait_until

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the evidence is in /proc of Linux"),
]

ASKS = "stty -echo; printf 'Password: '; read x; stty echo; echo; echo \"got ${#x} characters\""


def answering(cli: Cli, job: str) -> Terminal:
    return Terminal([BGJOB, "answer", job], cli.env, cwd=cli.cwd)


def test_what_a_person_types_reaches_the_job_and_is_shown_nowhere(cli: Cli) -> None:
    job = pty_job(cli, ASKS)
    asked = cli("wait", job, "--for", "input").ok()
    assert "Password:" in asked.stdout + asked.stderr
    assert "bgjob answer" in cli("status", job).stdout
    with answering(cli, job) as window:
        window.expect("asks: Password: ")
        window.type("hunter2\r")
        window.expect("sent")
        assert window.wait() == 0
        assert "hunter2" not in window.transcript
    cli("wait", job).ok()
    assert "got 7 characters" in cli("output", job).stdout
    for verb in ("output", "status", "screen"):
        assert "hunter2" not in cli(verb, job, *(["--json"] if verb != "output" else [])).stdout


def test_a_job_that_stops_asking_meanwhile_gets_nothing(cli: Cli) -> None:
    job = pty_job(cli, f"trap 'stty echo; echo gave up; read y; echo \"<$y>\"; exit 0' USR1; {ASKS}")
    cli("wait", job, "--for", "input").ok()
    with answering(cli, job) as window:
        window.expect("asks: Password: ")
        cli("kill", job, "--signal", "USR1").ok()
        wait_until(lambda: "gave up" in cli("output", job).stdout, "the job to give up")
        window.type("hunter2\r")
        window.expect("its terminal would show it")
        assert window.wait() == 5
    cli("send", job, "something else").ok()
    cli("wait", job).ok()
    assert "<something else>" in cli("output", job).stdout


def test_ctrl_d_sends_nothing_and_the_job_still_asks(cli: Cli) -> None:
    job = pty_job(cli, ASKS)
    cli("wait", job, "--for", "input").ok()
    with answering(cli, job) as window:
        window.expect("asks: Password: ")
        window.press("C-d")
        window.expect("nothing sent")
        assert window.wait() == 130
    assert cli("status", job, "--json").json["input_mode"] == "hidden"


def test_only_a_job_that_asks_for_a_secret_is_answered_and_only_by_a_person(cli: Cli) -> None:
    job = pty_job(cli, "printf 'Name? '; read x")
    cli("wait", job, "--for", "input").ok()
    with answering(cli, job) as window:
        window.expect("it asks for no secret now")
        assert window.wait() == 5
    assert cli("answer", job).status == 2
    cli("send", job, "me").ok()
    cli("wait", job)
    with answering(cli, job) as window:
        window.expect("cannot answer")
        assert window.wait() == 3
