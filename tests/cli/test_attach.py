"""`bgjob attach`: real programs in real terminals, driven by keys."""

import os
import shlex
import signal
import sys

import pytest

from tests.helpers.attached import DETACH, attached, pty_job
from tests.helpers.cli import BGJOB, Cli
from tests.helpers.pty import Terminal
from tests.helpers.waiting import wait_exit, wait_until

pytestmark = pytest.mark.shared

# `bgjob attach JOB`, with a mistake of ours in the thread that shows output, or in the one that sends input.
WITH_A_MISTAKE = """
import sys
from bgjob_cli.attach import _Sender, _Session
from bgjob_cli.main import main

def mistake(self, *about):
    if b"boom" in about[-1]:
        raise ValueError("a mistake of ours")
    return before(self, *about)

which, name = {"output": (_Session, "_show"), "input": (_Sender, "_send")}[sys.argv[1]]
before = getattr(which, name)
setattr(which, name, mistake)
sys.exit(main(["attach", sys.argv[2]]))
"""


def size_of(cli: Cli, job: str) -> tuple[int, int]:
    reply = cli("screen", job, "--json").json
    return reply["rows"], reply["columns"]


def test_keys_go_in_and_output_comes_out_and_the_job_goes_on_after_detaching(cli: Cli) -> None:
    job = pty_job(cli, 'echo ready; while read line; do echo "<$line>"; done; exit 3')
    with attached(cli, job) as window:
        window.expect("detaches")
        window.type("hello\r")
        window.expect("<hello>")
        window.press(DETACH, DETACH)
        window.expect("detached; .* goes on")
        assert window.wait() == 0
    with attached(cli, job) as window:
        window.expect("<hello>")  # painted again
        window.press("C-d")
        assert window.wait() == 3


def test_the_terminal_is_as_it_was_after_detaching_and_after_the_end(cli: Cli) -> None:
    job = pty_job(cli, "printf '\\033[?1049h\\033[?25l\\033[?2004h\\033[?1002h\\033='; echo ready; read x; read x")
    # A shell around it, as a person has: what it finds afterwards is what counts.
    script = f"stty -a > before; {BGJOB} attach {job}; stty -a > after; echo status $?"
    for keys, status in (((DETACH, DETACH), 0), (("Enter", "Enter"), 1)):
        with Terminal(["sh", "-c", script], cli.env, cwd=cli.cwd) as window:
            window.expect("ready")
            window.press(*keys)
            window.expect(r"\x1b\[\?25h(?s:.)*\x1b\[\?1049l")
            rest = window.rest()
        assert "status 0" in rest, status
        shown = window.transcript
        for mode in ("2004", "1002", "1049"):
            assert shown.rfind(f"\x1b[?{mode}l") > shown.rfind(f"\x1b[?{mode}h") > 0
        assert shown.rfind("\x1b>") > shown.rfind("\x1b=")
        with open(os.path.join(cli.cwd, "before")) as before, open(os.path.join(cli.cwd, "after")) as after:
            assert before.read() == after.read()


def test_no_number_that_a_job_writes_ends_its_output(cli: Cli) -> None:
    job = pty_job(
        cli, "read x; printf '\\033[?'; head -c 5000 /dev/zero | tr '\\0' 1; printf 'h'; echo; echo shown; read y"
    )
    with attached(cli, job) as window:
        window.expect("detaches")
        window.press("Enter")
        window.expect("shown")
        window.press("Enter")
        assert window.wait() == 0


@pytest.mark.parametrize("thread", ["output", "input"])
def test_a_mistake_of_ours_ends_it_and_leaves_the_terminal_as_it_was(cli: Cli, thread: str) -> None:
    job = pty_job(cli, "echo ready; cat")
    broken = shlex.join([sys.executable, "-c", WITH_A_MISTAKE, thread, job])
    script = f"stty -a > before; {broken}; echo status $?; stty -a > after"
    with Terminal(["sh", "-c", script], cli.env, cwd=cli.cwd) as window:
        window.expect("ready")
        window.type("boom\r")
        window.expect("a mistake of ours")
        window.expect("status 1")
        window.rest()
    with open(os.path.join(cli.cwd, "before")) as before, open(os.path.join(cli.cwd, "after")) as after:
        assert before.read() == after.read()


def test_ctrl_c_goes_to_the_job_and_not_to_us(cli: Cli) -> None:
    job = pty_job(cli, "trap 'echo caught' INT; echo ready; while :; do read x; done")
    with attached(cli, job) as window:
        window.expect("ready")
        window.press("C-c")
        window.expect("caught")
        window.press(DETACH, DETACH)
        assert window.wait() == 0


def test_one_detach_key_alone_is_for_the_program(cli: Cli) -> None:
    job = pty_job(cli, "trap 'echo quit' QUIT; echo ready; while :; do read x; done")
    with attached(cli, job) as window:
        window.expect("ready")
        window.press(DETACH)
        window.expect("quit")
        window.type("\x1ca\x1c\x1c")  # one, another key, and then both
        assert window.wait() == 0
    wait_until(lambda: cli("output", job).stdout.count("quit") == 2, "the other one")


def test_the_detach_keys_are_a_choice_and_are_shown(cli: Cli) -> None:
    job = pty_job(cli, "trap 'echo quit' QUIT; echo ready; while :; do read x; done")
    with attached(cli, job, "--detach-keys", "C-p F2") as window:
        window.expect("C-p F2 detaches")
        window.press(DETACH, DETACH)  # are keys like any other now
        window.expect("quit")
        window.type("\x10\x1bOQ")
        window.expect("detached")
        assert window.wait() == 0


def test_the_default_keys_can_be_named_as_the_help_names_them(cli: Cli) -> None:
    text = " ".join(cli("attach", "--help").ok().stdout.split())
    named = text.partition("which is '")[2].partition("'")[0]
    assert named == "C-\\ C-\\"
    assert cli("attach", "nobody", "--detach-keys", named).status == 4


def test_the_terminal_fits_into_the_smallest_window(cli: Cli) -> None:
    job = pty_job(cli, "trap 'stty size' WINCH; echo ready; while :; do read x; done")
    with attached(cli, job, rows=40, columns=100) as large:
        large.expect("40 100")
        with attached(cli, job, rows=30, columns=120) as wide:
            large.expect("30 100")
            wide.expect("30 100")
            wide.resize(20, 60)
            large.expect("20 60")
            wide.press(DETACH, DETACH)
            assert wide.wait() == 0
        large.expect("40 100")  # the other one does not count any more
        large.resize(50, 132)
        large.expect("50 132")
        large.press(DETACH, DETACH)
        assert large.wait() == 0
    assert size_of(cli, job) == (50, 132)  # stays


def test_a_window_that_is_slow_is_shown_the_screen_as_it_is_now_and_not_all_that_was_on_it(cli: Cli) -> None:
    job = pty_job(cli, "read x; seq 500000; echo; echo the end; read x")
    with attached(cli, job) as window:
        window.expect("detaches")
        window.type("go\r")
        cli("wait", job, "--for", "the end").ok()  # nobody reads the window meanwhile
        window.expect("the end")
        assert len(window.transcript) < 2_000_000  # of 4 MB
        window.type("more\r")
        assert window.wait() == 0


@pytest.mark.slow
@pytest.mark.parametrize("how", ["keys", "signal"])
def test_a_window_that_takes_no_output_can_be_left(cli: Cli, how: str) -> None:
    job = pty_job(cli, "read x; seq 500000; echo; echo the end; read x")
    with attached(cli, job) as window:
        window.expect("detaches")
        window.type("go\r")
        cli("wait", job, "--for", "the end").ok()
        assert window.is_raw
        if how == "keys":
            window.press(DETACH, DETACH)
        else:
            window.process.terminate()
        assert wait_exit(window.process) == 0  # nobody reads the window
        assert not window.is_raw
        assert "goes on" in window.rest()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_detaches_and_leaves_the_terminal_as_it_was(cli: Cli, number: int) -> None:
    job = pty_job(cli, "echo ready; cat")
    with attached(cli, job) as window:
        window.expect("ready")
        assert window.is_raw
        window.process.send_signal(number)
        window.expect("goes on")
        assert window.wait() == 0
        assert not window.is_raw


def test_a_killed_client_changes_nothing_for_the_job(cli: Cli) -> None:
    job = pty_job(cli, 'echo ready; read x; echo "<$x>"')
    with attached(cli, job, rows=10, columns=40) as small, attached(cli, job, rows=20, columns=80) as other:
        small.expect("ready")
        other.expect("ready")
        assert size_of(cli, job) == (10, 40)
        small.process.kill()
        wait_until(lambda: size_of(cli, job) == (20, 80), "the killed window to be forgotten")
        other.type("still here\r")
        other.expect("<still here>")
        assert other.wait() == 0


@pytest.mark.needs("vim")
def test_an_editor_is_painted_driven_and_left(cli: Cli) -> None:
    job = pty_job(cli, "vim -u NONE -N -n text; cat text")
    with attached(cli, job, rows=24, columns=80) as window:
        window.expect("VIM - Vi IMproved|All|text")
        window.type("isome text")
        window.expect("some text")
        window.press(DETACH, DETACH)
        assert window.wait() == 0
    with attached(cli, job, rows=24, columns=80) as window:
        window.expect(r"\x1b\[\?1049h(?s:.)*some text")
        window.press("Escape")
        window.type(":wq\r")
        window.expect("some text")
        assert window.wait() == 0


@pytest.mark.needs("less")
def test_a_pager_takes_cursor_keys(cli: Cli) -> None:
    job = pty_job(cli, "seq -f 'line %g' 200 | less")
    with attached(cli, job, rows=10, columns=40) as window:
        window.expect("line 9")
        window.type(
            "\x1bOB"
        )  # what Down sends after less has asked for application cursor keys, as a terminal was told
        window.expect("line 10")
        window.type("q")
        assert window.wait() == 0


def test_a_job_without_a_terminal_gets_lines(cli: Cli) -> None:
    job = cli.submit('echo early; echo wrong >&2; while read x; do echo "<$x>"; done; exit 5')
    with attached(cli, job) as window:
        window.expect("Ctrl-C detaches")
        window.expect("early")
        window.expect("wrong")
        window.type("a line\r")
        window.expect("<a line>")
        window.press("C-c")
        window.expect("detached")
        assert window.wait() == 0
    with attached(cli, job) as window:
        window.expect("<a line>")
        window.press("C-d")
        assert window.wait() == 5


def test_only_a_running_job_can_be_attached_to_and_only_from_a_terminal(cli: Cli) -> None:
    ended = cli.submit("--pty", "true")
    cli("wait", ended)
    with attached(cli, ended) as window:
        window.expect("it is completed")
        assert window.wait() == 3
    itself = cli.submit("--pty", f'{BGJOB} attach "$BGJOB_ID"; echo status $?')
    cli("wait", itself)
    assert "this is its own terminal" in cli("output", itself).stdout
    assert "status 2" in cli("output", itself).stdout
    running = pty_job(cli, "cat")
    refused = cli("attach", running)
    assert refused.status == 2
    assert "not at a terminal" in refused.stderr
    assert cli("attach", running, "--detach-keys", "Entr").status == 2
