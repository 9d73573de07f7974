"""What is promised where there is no subreaper, no /proc and no pidfd: the twins that macOS uses, run on Linux."""

import os
import signal

import pytest

from bgjobd.runner import control, ps
from bgjobd.runner.receipt import unpack_left, unpack_signalled
from tests.helpers.procs import is_alive
from tests.helpers.waiting import wait_gone, wait_until
from tests.runner.harness import Job, Zygote, first
from tests.runner.programs import is_anyone_left, program

# In its own session, without its parent, and it ends when it is told to through a FIFO.
_ESCAPES = "mkfifo {fifo}; setsid sh -c '(read x <{fifo}; echo late) & exit 0'; echo main; exit 2"


@pytest.mark.parametrize("name", ["setsid and double fork", "ignores every signal", "forks from a thread"])
def test_nobody_escapes_a_kill(portable_zygote: Zygote, state_dir: str, name: str) -> None:
    lock = os.path.join(state_dir, "lock")
    job = portable_zygote.submit(program(name, lock)).wait_started()
    job.wait_output("ready")
    with job.control() as peer:
        answer = peer.kill(grace_ms=20)
    assert not is_anyone_left(lock)
    assert (first(answer)["status"], answer.get("survivor")) == ("killed", None)
    assert "no proof" in first(answer)["kill_note"]
    assert all(unpack_signalled(line).ended for line in answer["killed"])
    assert job.wait_ended().left == 0


def test_who_escaped_is_found_when_the_job_ends_and_its_own_end_is_noticed(
    portable_zygote: Zygote, state_dir: str
) -> None:
    fifo = os.path.join(state_dir, "fifo")
    job = portable_zygote.submit(_ESCAPES.format(fifo=fifo))
    record = job.wait_ended()
    assert (job.code(), record.left) == (2, 1)
    pid, start, name = unpack_left(record.left_behind[0])
    assert (is_alive(pid), start > 20_000_000_000_000, name) == (True, True, b"sh")  # a date: see ps.py
    with open(fifo, "w") as file:
        file.write("\n")
    assert job.wait_ended().left == 0
    assert job.text() == "main\nlate\n"
    job.wait_runner_gone()


def test_who_escaped_is_killed_later(portable_zygote: Zygote, state_dir: str) -> None:
    job = portable_zygote.submit(_ESCAPES.format(fifo=os.path.join(state_dir, "fifo")))
    pid, _start, _name = unpack_left(job.wait_ended().left_behind[0])
    with job.control() as peer:
        answer = peer.kill(actor="ann")
    assert [unpack_signalled(line).pid for line in answer["killed"]] == [pid]
    wait_gone(pid)
    assert job.wait_ended().left == 0


def test_a_job_whose_runner_was_killed_goes_on_and_then_is_lost(portable_zygote: Zygote) -> None:
    job = portable_zygote.submit("echo one; read x; echo two; exit 3").wait_started()
    job.wait_output("one")
    _have_runner_replaced(job)
    with job.control() as peer:
        peer.call(control.INPUT, b"\n")
    record = job.wait_ended()
    assert (record.by, record.reason, record.status, record.left) == ("lost", "unobserved", None, 0)
    assert "nobody saw its end" in record.error
    assert job.text() == "one\ntwo\n"


def test_a_job_whose_runner_was_killed_can_be_killed(portable_zygote: Zygote) -> None:
    job = portable_zygote.submit("(setsid sleep 60 &); echo ready; exec sleep 60").wait_started()
    job.wait_output("ready")
    _have_runner_replaced(job)
    with job.control() as peer:
        answer = peer.kill()
    assert (first(answer)["status"], len(answer["killed"])) == ("killed", 2)
    assert job.wait_ended().left == 0


def _have_runner_replaced(job: Job) -> None:
    os.kill(job.run().runner_pid, signal.SIGKILL)
    wait_until(lambda: job.run().rescue == 1, "a rescue runner", directory=job.directory)


def test_ps_knows_what_proc_knows() -> None:
    pid = os.getpid()
    (found,) = ps.listed("-p", str(pid))
    assert (found.pid, found.parent, found.group, found.session) == (pid, os.getppid(), os.getpgrp(), os.getsid(0))
    assert pid in {process.pid for process in ps.listed("-A")}
    name, value = next((name, value) for name, value in os.environ.items() if value.isalnum())
    assert pid in ps.marked(f"{name}={value}".encode())
    assert pid not in ps.marked(b"BGJOB_ID=nobody")
