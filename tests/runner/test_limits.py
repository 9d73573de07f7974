"""Time limits."""

import os

from bgjobd.runner import control
from tests.runner.harness import Zygote
from tests.runner.programs import is_anyone_left, program


def test_a_job_that_runs_too_long_is_stopped(any_zygote: Zygote) -> None:
    job = any_zygote.submit("trap 'echo bye; exit 1' TERM; while :; do read x; done", timeout_ms=100)
    record = job.wait_ended()
    assert (record.reason, record.actor, job.code(), job.text()) == ("timeout", "bgjob", 1, "bye\n")
    assert record.duration_us >= 100_000
    assert "0.1 s" in (record.kill_reason or "")


def test_a_timeout_ends_the_whole_tree(zygote: Zygote, state_dir: str) -> None:
    lock = os.path.join(state_dir, "lock")
    job = zygote.submit(program("ignores every signal", lock), timeout_ms=300, grace_ms=20)
    assert job.wait_ended().reason == "timeout"
    assert not is_anyone_left(lock)


def test_a_job_that_is_quick_enough_is_not_stopped(zygote: Zygote) -> None:
    job = zygote.run("exit 0", timeout_ms=3_600_000, idle_timeout_ms=3_600_000)
    assert (job.code(), job.exit().reason) == (0, "exit")


def test_a_job_that_writes_nothing_for_too_long_is_stopped(zygote: Zygote) -> None:
    job = zygote.submit("echo start; while :; do read x; done", idle_timeout_ms=100)
    record = job.wait_ended()
    assert (record.reason, job.text(), record.duration_us >= 100_000) == ("idle_timeout", "start\n", True)


def test_output_keeps_a_job_from_being_idle(zygote: Zygote) -> None:
    """All steps together take longer than the limit, each one a fifth of it."""
    job = zygote.run("for i in 1 2 3 4 5 6; do sleep 0.2; echo $i; done", idle_timeout_ms=1000)
    assert (job.exit().reason, job.code(), job.text()) == ("exit", 0, "1\n2\n3\n4\n5\n6\n")


def test_idle_processes_do_not_wake_up(zygote: Zygote) -> None:
    """Not even for a time limit that is far away."""
    idle = zygote.submit("read x", timeout_ms=3_600_000, idle_timeout_ms=3_600_000).wait_started()
    with idle.control() as peer:
        watch = peer.ask(control.WATCH, offset=0)
        peer.status()
        zygote.submit("sleep 0.1").wait_ended()  # the spares that were forked for these two are ready by now
        clock = zygote.submit("read x; sleep 0.6").wait_started()
        before = _switches(idle.run().runner_pid)
        with clock.control() as other:
            other.write(b"\n")
        clock.wait_ended()
        assert _switches(idle.run().runner_pid) == before
        peer.write(b"\n")
        peer.answer(watch)


def _switches(pid: int) -> list[str]:
    """How often a process went to sleep: once for each time it was awake."""
    with open(f"/proc/{pid}/status") as file:
        return [line for line in file if line.startswith("voluntary_ctxt_switches")]
