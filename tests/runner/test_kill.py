"""Ending a job: the ladder, what counts as gone, the receipt, and answers that are true at any moment."""

import os
import signal
import sys

import pytest

from bgjobd.runner import control
from bgjobd.runner.receipt import Signalled, unpack_signalled
from tests.helpers.waiting import wait_gone
from tests.runner.harness import Zygote, first
from tests.runner.programs import PROGRAMS, is_anyone_left, program


def _receipt(answer: dict[str, list[bytes]]) -> dict[int, Signalled]:
    return {entry.pid: entry for entry in map(unpack_signalled, answer.get("killed", []))}


def test_a_kill_begins_politely(any_zygote: Zygote) -> None:
    job = any_zygote.submit("trap 'echo bye; exit 4' TERM; echo ready; while :; do read x; done")
    job.wait_started().wait_output("ready")
    with job.control() as peer:
        answer = peer.kill(actor="ann", reason="no longer needed")
    record = job.wait_ended()
    assert first(answer)["status"] == "killed"
    assert (job.code(), record.reason, record.actor, record.kill_reason) == (4, "user", "ann", "no longer needed")
    assert ("bye" in job.text(), record.left, record.survivor) == (True, 0, [])
    main = _receipt(answer)[job.run().job_pid]
    assert (main.signals, main.ended, main.name) == (["SIGTERM"], "exit 4", b"sh")
    assert record.killed == answer["killed"]


def test_after_the_grace_comes_sigkill(zygote: Zygote, state_dir: str) -> None:
    lock = os.path.join(state_dir, "lock")
    job = zygote.submit(program("ignores every signal", lock)).wait_started()
    job.wait_output("ready")
    with job.control() as peer:
        answer = peer.kill(grace_ms=50)
    assert not is_anyone_left(lock)
    assert first(answer)["status"] == "killed"
    assert int(first(answer)["kill_us"]) >= 50_000
    assert [entry.signals for entry in _receipt(answer).values()] == [["SIGTERM", "SIGKILL"]] * 2
    assert (job.wait_ended().reason, job.code()) == ("user", -9)


def test_the_first_signal_can_be_chosen(zygote: Zygote) -> None:
    job = zygote.submit("trap 'exit 7' INT; echo ready; while :; do sleep 60 & wait $!; done").wait_started()
    job.wait_output("ready")
    with job.control() as peer:
        answer = peer.kill(signal=signal.SIGINT, actor="ann", grace_ms=50)
    job.wait_ended()
    assert job.code() == 7
    # the shell's background sleep ignores SIGINT, as POSIX wants: it needed more
    assert _receipt(answer)[job.run().job_pid].signals == ["SIGINT"]


def test_a_kill_with_sigkill_knows_no_grace(zygote: Zygote) -> None:
    job = zygote.submit("trap '' TERM; echo ready; while :; do sleep 60; done").wait_started()
    job.wait_output("ready")
    with job.control() as peer:
        answer = peer.kill(signal=9, grace_ms=3_600_000)
    assert {tuple(entry.signals) for entry in _receipt(answer).values()} == {("SIGKILL",)}
    assert job.wait_ended().reason == "user"


@pytest.mark.parametrize("name", PROGRAMS)
def test_nobody_escapes(zygote: Zygote, state_dir: str, name: str) -> None:
    lock = os.path.join(state_dir, "lock")
    job = zygote.submit(program(name, lock)).wait_started()
    job.wait_output("ready")
    with job.control() as peer:
        answer = peer.kill(grace_ms=20)
    assert not is_anyone_left(lock)
    assert (first(answer)["status"], answer.get("survivor")) == ("killed", None)
    assert all(entry.ended for entry in _receipt(answer).values())
    record = job.wait_ended()
    assert (record.reason, record.left, record.survivor) == ("user", 0, [])


def test_stopped_processes_get_to_handle_the_polite_signal(zygote: Zygote) -> None:
    job = zygote.submit("trap 'exit 6' TERM; echo ready; kill -STOP $$").wait_started()
    job.wait_output("ready")
    with job.control() as peer:
        peer.kill()
    job.wait_ended()
    assert job.code() == 6


def test_everybody_gets_the_polite_signal_exactly_once(zygote: Zygote) -> None:
    """Some programs take a second one for impatience."""
    counts = "import os, signal, sys\nn = 0\ndef count(*_):\n global n\n n += 1\n os.write(1, b'got %d\\n' % n)\n"
    waits = "signal.signal(15, count)\nos.write(1, b'ready\\n')\nwhile True: signal.pause()\n"
    job = zygote.submit([sys.executable, "-I", "-S", "-c", counts + waits]).wait_started()
    job.wait_output("ready")
    with job.control() as peer:
        peer.kill(grace_ms=100)
    job.wait_ended()
    assert job.text() == "ready\ngot 1\n"


def test_a_second_kill_joins_the_first_and_may_shorten_the_grace(zygote: Zygote) -> None:
    job = zygote.submit("trap '' TERM; echo ready; while :; do read x; done").wait_started()
    job.wait_output("ready")
    with job.control() as peer, job.control() as other:
        kills = [peer.ask(control.KILL, grace_ms=3_600_000, actor="ann")]
        kills.append(peer.ask(control.KILL, grace_ms=7_200_000, actor="bob"))
        assert peer.status()["state"] == "running"
        answer = other.kill(signal=9, actor="cleo")
        assert [first(peer.answer(number))["status"] for number in kills] == ["killed", "killed"]
    assert _receipt(answer)[job.run().job_pid].signals == ["SIGTERM", "SIGKILL"]
    assert job.wait_ended().actor == "ann"


def test_a_kill_whose_asker_goes_away_goes_on(zygote: Zygote) -> None:
    job = zygote.submit("trap '' TERM; echo ready; while :; do read x; done").wait_started()
    job.wait_output("ready")
    with job.control() as peer:
        peer.ask(control.KILL, grace_ms=50, actor="ann")
        peer.status()
    assert (job.wait_ended().actor, job.code()) == ("ann", -9)


def test_a_kill_right_after_the_start_is_a_kill(zygote: Zygote) -> None:
    for _ in range(5):
        job = zygote.submit("sleep 60; sleep 60").wait_started()
        with job.control() as peer:
            assert first(peer.kill(grace_ms=1000))["status"] == "killed"
        assert job.wait_ended().reason == "user"


def test_a_kill_of_a_job_that_ends_by_itself_says_so(zygote: Zygote) -> None:
    """The main process is already gone when the kill comes, but the runner has not noticed it yet: it is stopped."""
    job = zygote.submit("read x; exit 3").wait_started()
    with job.control() as peer:
        os.kill(job.run().runner_pid, signal.SIGSTOP)
        try:
            peer.ask(control.INPUT, b"\n")
            asked = peer.ask(control.KILL, actor="ann")
        finally:
            os.kill(job.run().runner_pid, signal.SIGCONT)
        answer = first(peer.answer(asked))
    record = job.wait_ended()
    if answer["status"] == "killed":
        assert (record.reason, record.actor) == ("user", "ann")
    else:
        assert (answer["status"], record.reason, job.code()) == ("already_terminated", "exit", 3)


def test_a_kill_is_answered_before_anybody_is_told_of_the_end(zygote: Zygote) -> None:
    """Who hears of the end first may hang up, and not read the answer."""
    for _ in range(10):
        job = zygote.submit("sleep 60 & exit 0")
        job.wait_ended()
        with job.control() as peer:
            peer.ask(control.KILL)
            zygote.expect("ended", job.id)
            assert peer.has_answer()


def test_a_kill_when_everything_is_over_is_no_kill(zygote: Zygote) -> None:
    job = zygote.submit("exit 3").wait_started()
    job.wait_ended()
    assert (job.exit().reason, job.exit().killed, job.exit().kill_us) == ("exit", [], None)


def test_a_single_signal_reaches_the_main_process_group_and_is_no_kill(zygote: Zygote) -> None:
    job = zygote.submit("trap 'echo got it' USR1; echo ready; while :; do read x && exit 0; done").wait_started()
    job.wait_output("ready")
    with job.control() as peer:
        answer = peer.answer(peer.ask(control.SIGNAL, signal=10, actor="ann"))
        assert (first(answer)["status"], list(_receipt(answer))) == ("signalled", [job.run().job_pid])
        job.wait_output("got it")
        peer.write(b"\n")
    assert (job.wait_ended().reason, job.exit().actor) == ("exit", None)


def test_a_job_that_dies_of_a_signal_somebody_asked_for_names_him(zygote: Zygote) -> None:
    job = zygote.submit("exec sleep 60").wait_started()
    with job.control() as peer:
        peer.call(control.SIGNAL, signal=signal.SIGUSR1, actor="ann", reason="because")
    record = job.wait_ended()
    assert (record.reason, record.actor, record.kill_reason, job.code()) == ("user", "ann", "because", -10)


def test_a_job_that_dies_of_another_signal_than_the_one_asked_for_died_by_itself(zygote: Zygote) -> None:
    job = zygote.submit("trap 'kill -SEGV $$' USR1; echo ready; while :; do read x; done").wait_started()
    job.wait_output("ready")
    with job.control() as peer:
        peer.call(control.SIGNAL, signal=signal.SIGUSR1, actor="ann")
    assert (job.wait_ended().reason, job.exit().actor, job.code()) == ("signal", None, -signal.SIGSEGV)


@pytest.mark.parametrize("number", [0, 65, -1])
def test_a_signal_that_does_not_exist_is_refused(zygote: Zygote, number: int) -> None:
    job = zygote.submit("exec sleep 60").wait_started()
    with job.control() as peer:
        assert "error" in peer.call(control.SIGNAL, signal=number)
        peer.kill(signal=9)


def test_a_runner_survives_the_signals_that_end_others(zygote: Zygote) -> None:
    job = zygote.submit("read x; exit 5").wait_started()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGPIPE):
        os.kill(job.run().runner_pid, number)
        os.kill(zygote.pid, number)
    with job.control() as peer:
        peer.write(b"\n")
    job.wait_ended()
    assert job.code() == 5


def test_a_fork_bomb_is_ended(zygote: Zygote, state_dir: str) -> None:
    """Forty processes that replace each other as fast as they can, for as long as anyone lives."""
    code = (
        "import fcntl, os, sys\n"
        "lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)\n"
        "fcntl.flock(lock, fcntl.LOCK_SH)\n"
        "os.set_inheritable(lock, True)\n"
        "for n in range(40):\n"
        "    if os.fork() == 0:\n"
        "        while True:\n"
        "            if os.fork(): os._exit(0)\n"
        "os.write(1, b'ready')\n"
        "while True:\n"
        "    try: os.wait()\n"
        "    except ChildProcessError: pass\n"
    )
    lock = os.path.join(state_dir, "lock")
    job = zygote.submit([sys.executable, "-I", "-S", "-c", code, lock]).wait_started()
    job.wait_output("ready")
    with job.control() as peer:
        answer = first(peer.kill(signal=9))
    assert (answer["status"], is_anyone_left(lock)) == ("killed", False)
    wait_gone(job.run().runner_pid)
