"""The zygote may not fork, or has no descriptors left: what is asked of it comes later, and no job is forgotten."""

import os
import signal

import pytest

from tests.helpers.procs import children_of, descriptors_of
from tests.helpers.waiting import wait_until
from tests.runner.harness import Zygote

pytestmark = [pytest.mark.needs("setpriv"), pytest.mark.needs("prlimit")]

# Both are less than the zygote has already: its user has more processes.
NO_PROCESSES = ("nproc", 0)
NO_DESCRIPTORS = ("nofile", 3)


def _kill_reaped(*pids: int) -> None:
    """SIGKILL children of the zygote, and wait until it knows."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for pid in pids:
        wait_until(lambda pid=pid: not os.path.exists(f"/proc/{pid}"), f"process {pid} is reaped")  # type: ignore[misc]


def test_jobs_wait_for_spares_that_may_not_be_forked(limited_zygote: Zygote) -> None:
    zygote = limited_zygote
    zygote.run("true").wait_runner_gone()
    with zygote.limited(*NO_PROCESSES):
        _kill_reaped(*(spare.pid for spare in children_of(zygote.pid)))
        zygote.expect("check", "")
        jobs = [zygote.submit(f"exit {number}") for number in range(6)]
    for number, job in enumerate(jobs):
        job.wait_ended()
        assert job.code() == number


@pytest.mark.parametrize("limit", [NO_PROCESSES, NO_DESCRIPTORS], ids=["processes", "descriptors"])
def test_a_job_is_rescued_as_soon_as_that_is_possible(limited_zygote: Zygote, limit: tuple[int, int]) -> None:
    zygote = limited_zygote
    job = zygote.submit("echo one; read x; echo two; exit 3").wait_started()
    job.wait_output("one")
    with zygote.limited(*limit):
        _kill_reaped(job.run().runner_pid)
        assert job.run().rescue == 0
    job.wait_started()
    with job.control() as peer:
        peer.write(b"\n")
    record = job.wait_ended()
    assert (job.text(), job.code(), record.by) == ("one\ntwo\n", 3, "zygote")


def test_a_job_that_ends_before_it_can_be_rescued_keeps_its_end(limited_zygote: Zygote) -> None:
    zygote = limited_zygote
    job = zygote.submit("read x; echo late; exit 5").wait_started()
    run = job.run()
    with zygote.limited(*NO_PROCESSES), open(f"/proc/{run.job_pid}/fd/0", "w") as stdin:
        _kill_reaped(run.runner_pid)
        stdin.write("\n")
        stdin.flush()
        wait_until(lambda: not os.path.exists(f"/proc/{run.job_pid}"), "the main process is reaped")
    record = job.wait_ended()
    assert (job.text(), job.code(), record.by) == ("late\n", 5, "zygote")


def test_a_job_that_its_runner_did_not_start_is_started_as_soon_as_that_is_possible(limited_zygote: Zygote) -> None:
    """Spare and rescue runner hang one after the other while they read the spec, which is a FIFO."""
    zygote = limited_zygote
    zygote.run("true").wait_runner_gone()
    job = zygote.prepare("echo once")
    spec = os.path.join(job.directory, "spec")
    with open(spec, "rb") as file:
        asked = file.read()
    os.rename(spec, spec + ".whole")
    os.mkfifo(spec)
    fifo = os.open(spec, os.O_RDWR)  # which waits for nobody
    lock = os.path.join(job.directory, "lock")
    job.send()
    wait_until(lambda: os.path.exists(lock) and os.path.getsize(lock), "the spare's note", directory=job.directory)
    _kill_reaped(_noted(lock))
    wait_until(lambda: any(child.name == "bgjob-rescue" for child in children_of(zygote.pid)), "the rescue runner")
    (rescue,) = (child.pid for child in children_of(zygote.pid) if child.name == "bgjob-rescue")
    with zygote.limited(*NO_PROCESSES):
        os.rename(spec + ".whole", spec)
        os.write(fifo, asked)
        os.close(fifo)
        wait_until(lambda: not os.path.exists(f"/proc/{rescue}"), "the rescue runner is reaped")
    job.wait_ended()
    assert (job.text(), job.run().rescue) == ("once\n", 0)


def _noted(lock: str) -> int:
    with open(lock) as file:
        return int(file.read().split()[1])


@pytest.mark.parametrize("pty", [False, True], ids=["pipes", "terminal"])
def test_a_job_of_which_nothing_could_be_kept_is_rescued_without_its_streams(
    limited_zygote: Zygote, state_dir: str, pty: bool
) -> None:
    """The zygote has no descriptors left for the pipes; of so many jobs one at least has a spare that made its own."""
    zygote = limited_zygote
    go = os.path.join(state_dir, "go")
    zygote.run("true").wait_runner_gone()
    os.mkfifo(go)
    command = f"trap '' HUP PIPE; read x < {go}; exit 6"
    with zygote.limited("nofile", 1 + max(descriptors_of(zygote.pid))):
        jobs = [zygote.submit(command, pty=pty).wait_started() for _ in range(10)]
    for job in jobs:
        _kill_reaped(job.run().runner_pid)
        job.wait_started()
    with open(go, "r+b", buffering=0) as file:
        file.write(b"\n" * len(jobs))  # a line for each
        for job in jobs:
            assert job.wait_ended().by == "zygote"
            assert (job.code(), job.run().rescue) == (6, 1)
