"""`bgjob wait`: what ends it, and the exit status that follows."""

import signal
import socket

import pytest

from tests.helpers.cli import BGJOB, Cli
from tests.helpers.pty import Terminal
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.shared

SERVER = """\
import socket, sys, time
s = socket.socket(); s.bind(("127.0.0.1", int(sys.argv[1]))); sys.stdin.readline(); s.listen(); print("up", flush=True)
time.sleep(1000)
"""


@pytest.mark.parametrize(
    ("command", "status"),
    [("true", 0), ("exit 3", 3), ("kill -KILL $$", 137), ("exit 200", 200)],
)
def test_one_job_hands_on_its_status(cli: Cli, command: str, status: int) -> None:
    assert cli("wait", cli.submit(command)).status == status


def test_a_job_that_was_killed_is_never_a_success(cli: Cli) -> None:
    job = cli.submit("trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done")
    cli("wait", job, "--for", "ready").ok()
    cli("kill", job).ok()
    assert cli("wait", job).status == 128 + signal.SIGTERM


def test_of_several_jobs_the_first_that_did_not_complete_decides(cli: Cli) -> None:
    good, bad, worse = cli.submit("true"), cli.submit("exit 3"), cli.submit("exit 4")
    assert cli("wait", good, bad, worse).status == 3
    assert cli("wait", worse, good, bad).status == 4
    assert cli("wait", good, good).status == 0


def test_any_is_satisfied_by_the_first_to_end(cli: Cli) -> None:
    slow, quick = cli.submit("sleep 1000"), cli.submit("exit 6")
    result = cli("wait", slow, quick, "--any", "--json")
    assert result.status == 6
    assert [fired["job_id"] for fired in result.json["fired"]] == [quick]
    assert cli("status", slow, "--json").json["status"] == "running"


def test_a_timeout_leaves_the_job_alone(cli: Cli) -> None:
    job = cli.submit("sleep 1000")
    result = cli("wait", job, "-t", "100ms")
    assert result.status == 124
    assert result.stdout == ""
    assert cli("wait", job, "-t", "100ms", "--json").json["timed_out"] is True
    assert cli("status", job, "--json").json["status"] == "running"


def test_a_pattern_counts_that_was_printed_before(cli: Cli) -> None:
    job = cli.submit("echo Listening on 8080; sleep 1000")
    cli("wait", job, "--for", "Listening").ok()
    result = cli("wait", job, "--for", r"Listening on \d+").ok()
    assert result.stdout == f"{job[:8]}: printed Listening on 8080\n"


def test_since_now_takes_new_lines_only(cli: Cli) -> None:
    job = cli.submit("echo tick; read x; echo tick; sleep 1000")
    cli("wait", job, "--for", "tick").ok()
    assert cli("wait", job, "--for", "tick", "--since", "now", "-t", "100ms").status == 124
    with cli.start("wait", job, "--for", "tick", "--since", "5") as wait:
        cli("send", job, "").ok()
        assert wait.wait() == 0


def test_a_port_counts_once_the_job_listens(cli: Cli) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    job = cli.submit("python3", "-c", SERVER, port)
    assert cli("wait", job, "--for", f"port:{port}", "-t", "100ms").status == 124
    cli("send", job, "go").ok()
    assert cli("wait", job, "--for", f"port:{port}").ok().stdout == f"{job[:8]}: listens on {port}\n"


def test_quiet_counts_when_nothing_was_printed_for_so_long(cli: Cli) -> None:
    job = cli.submit("echo ready; sleep 1000")
    assert cli("wait", job, "--for", "quiet:100ms").ok().stdout == f"{job[:8]}: quiet for 100ms\n"


def test_a_job_that_ends_before_its_condition_held_is_status_3(cli: Cli) -> None:
    assert cli("wait", cli.submit("true"), "--for", "never printed").status == 3
    assert cli("wait", cli.submit("exit 9"), "--for", "port:1").status == 3
    assert cli("wait", cli.submit("exit 9"), "--for", "port:1", "--for", "exit").status == 9


def test_the_last_words_of_a_job_count(cli: Cli) -> None:
    assert cli("wait", cli.submit("echo bye"), "--for", "bye").status == 0


def test_pattern_is_a_word_for_what_looks_like_something_else(cli: Cli) -> None:
    job = cli.submit("echo exit; echo port:80; sleep 1000")
    cli("wait", job, "--for", "pattern:^exit$").ok()
    cli("wait", job, "--for", "pattern:port:80").ok()


def test_an_ended_job_answers_at_once_and_says_how_it_ended(cli: Cli) -> None:
    job = cli.submit("-n", "tests", "exit 3")
    cli("wait", job)
    line = cli("wait", job).stdout
    assert line.startswith(f"{job[:8]} tests: failed")
    assert "exit code 3" in line


def test_an_interrupt_ends_only_the_wait(cli: Cli) -> None:
    job = cli.submit("echo ready; sleep 1000")
    cli("wait", job, "--for", "ready").ok()
    with cli.start("wait", job, "--for", "quiet:1h") as wait:
        wait_until(lambda: cli("daemon", "status", "--json").json["clients"] > 1, "a second client")
        wait.signal(signal.SIGINT)
        assert wait.wait() == -signal.SIGINT
    assert cli("status", job, "--json").json["status"] == "running"


@pytest.mark.slow
def test_a_person_sees_how_the_job_is_doing_until_it_ends(cli: Cli) -> None:
    """On a line that is drawn over and erased; it takes a second to appear."""
    job = cli.submit("-n", "build", "printf '\\033[31mstep\\033[0m one\\n'; read x; printf step\\ two; read x; exit 3")
    with Terminal([BGJOB, "wait", "build"], cli.env | {"TERM": "xterm", "NO_COLOR": "1"}, columns=60) as terminal:
        terminal.expect(r"\rbuild: running for \S+ · 18 B · (?:\S+ ago: )?step one\x1b\[K")
        cli("send", "build", "go").ok()
        terminal.expect(r"\rbuild: running for \S+ · 26 B.* · (?:\S+ ago: )?step two\x1b\[K")
        cli("send", "build", "go").ok()
        terminal.expect(rf"\r\x1b\[K{job[:8]} build: failed after \S+ exit code 3\r$")
        assert terminal.wait() == 3
    with Terminal([BGJOB, "wait", "build"], cli.env | {"TERM": "dumb"}) as terminal:
        assert terminal.wait() == 3
        assert "\x1b" not in terminal.transcript
