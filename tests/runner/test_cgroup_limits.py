"""Limits of a whole job, by its cgroup.

What the runner writes and reads is tested on a plain directory, which every machine has; that the kernel does its part
is tested where it lets us.
"""

import os
from pathlib import Path

import pytest

from bgjobd.daemon.cgroup import SERVICE_SUBGROUP, limits_whole_jobs
from bgjobd.daemon.cgroup import _delegated as delegated
from tests.runner.harness import Job, Zygote

MIB = 1 << 20
SHOW_LIMITS = "read x; ulimit -v; ulimit -t"
TAKE_MEMORY = "python3 -c 'x = bytearray(96 << 20); print(len(x))'"
FILES = {
    "cgroup.procs": "",
    "cpu.stat": "usage_usec 0\nuser_usec 0\n",
    "memory.max": "max\n",
    "memory.swap.max": "max\n",
    "memory.oom.group": "0\n",
    "memory.events": "low 0\noom 0\noom_kill 0\n",
}


def prepare(zygote: Zygote, state_dir: str, command: str, files: dict[str, str], **values: int) -> tuple[Job, Path]:
    """Make a job, and a directory with `files` in the place of its leaf."""
    job = zygote.prepare(command, cgroup=os.path.join(state_dir, "cgroup"), **values)
    leaf = Path(state_dir, "cgroup", job.id)
    leaf.mkdir(parents=True)
    for name, text in files.items():
        leaf.joinpath(name).write_text(text)
    return job, leaf


def answer(job: Job) -> list[str]:
    """Let a job that reads a line go on, and return its words."""
    job.send()
    job.wait_started()
    with job.control() as peer:
        peer.write(b"go\n")
    job.wait_ended()
    return job.text().split()


def test_memory_is_limited_for_all_of_a_job_and_for_no_process_alone(zygote: Zygote, state_dir: str) -> None:
    job, leaf = prepare(zygote, state_dir, SHOW_LIMITS, FILES, max_memory_bytes=64 * MIB, max_cpu_s=60)
    assert answer(job) == ["unlimited", "60"]
    written = {name: leaf.joinpath(name).read_text().split("\n")[0] for name in FILES}
    assert written["memory.max"].startswith(str(64 * MIB))
    assert (written["memory.swap.max"][0], written["memory.oom.group"][0]) == ("0", "1")
    assert written["cgroup.procs"] == "0"  # the main process put itself in


def test_without_the_memory_controller_each_process_is_limited(zygote: Zygote, state_dir: str) -> None:
    files = {name: text for name, text in FILES.items() if not name.startswith("memory")}
    job, leaf = prepare(zygote, state_dir, SHOW_LIMITS, files, max_memory_bytes=64 * MIB)
    assert answer(job)[0] == str(64 << 10)
    assert leaf.joinpath("cgroup.procs").read_text() == "0"


def test_where_no_leaf_can_be_made_each_process_is_limited(zygote: Zygote) -> None:
    job = zygote.prepare(SHOW_LIMITS, cgroup="/proc/no/such/place", max_memory_bytes=64 * MIB, max_cpu_s=60)
    assert answer(job) == [str(64 << 10), "60"]


def test_a_leaf_that_may_not_be_entered_is_said(zygote: Zygote, state_dir: str) -> None:
    """Rather than that the job runs without its limit."""
    files = {name: text for name, text in FILES.items() if name != "cgroup.procs"}
    job, _leaf = prepare(zygote, state_dir, "touch started", files, max_memory_bytes=64 * MIB)
    job.send()
    record = job.wait_failed()
    assert record.exit_code == 126
    assert record.error.startswith("cannot set the limits of '/bin/sh'")


def test_a_job_without_limits_has_no_leaf(zygote: Zygote, state_dir: str) -> None:
    job, leaf = prepare(zygote, state_dir, "exit 0", FILES, nice=5)
    job.send()
    job.wait_ended()
    assert leaf.joinpath("cgroup.procs").read_text() == ""


@pytest.mark.parametrize(("kills", "reason"), [(1, "oom"), (0, "signal")])
def test_who_sent_sigkill_is_told_by_the_kernels_count(zygote: Zygote, state_dir: str, kills: int, reason: str) -> None:
    files = FILES | {"memory.events": f"oom 7\noom_kill {kills}\n"}
    job, _leaf = prepare(zygote, state_dir, "kill -KILL $$", files, max_memory_bytes=64 * MIB)
    job.send()
    record = job.wait_ended()
    assert (record.reason, job.code()) == (reason, -9)
    assert record.kill_reason == ("its processes needed more than 64 MiB together" if kills else None)


def test_a_kill_that_was_asked_for_is_no_lack_of_memory(zygote: Zygote, state_dir: str) -> None:
    files = FILES | {"memory.events": "oom_kill 1\n"}
    job, _leaf = prepare(zygote, state_dir, "read x", files, max_memory_bytes=64 * MIB)
    job.send()
    job.wait_started()
    with job.control() as peer:
        peer.kill(signal=9, actor="somebody")
    record = job.wait_ended()
    assert (record.reason, record.actor) == ("user", "somebody")


def test_a_job_whose_processes_used_their_time_together_is_stopped(zygote: Zygote, state_dir: str) -> None:
    files = FILES | {"cpu.stat": "usage_usec 61000000\n"}
    job, _leaf = prepare(zygote, state_dir, "read x", files, max_cpu_s=60)
    job.send()
    record = job.wait_ended()
    assert (record.reason, record.actor, job.code()) == ("timeout", "bgjob", -15)
    assert record.kill_reason == "its processes used more than 60 s of processor time together"


@pytest.mark.slow
@pytest.mark.root
def test_the_kernel_counts_the_time_of_all_processes(zygote: Zygote, parent: str) -> None:
    """None of the four reaches the limit of a process: that is twice as much as what each can have used by then."""
    busy = "for i in 1 2 3 4; do (while :; do :; done) & done; wait"
    record = zygote.run(busy, cgroup=parent, max_cpu_s=1, grace_ms=100).exit()
    assert record.reason == "timeout"
    assert record.utime_us + record.stime_us > 1_000_000


@pytest.mark.root
def test_nothing_is_left_of_a_leaf(zygote: Zygote, parent: str) -> None:
    job = zygote.submit("cat /proc/self/cgroup; sleep 300 & read x", cgroup=parent, max_cpu_s=60)
    job.wait_started()
    job.wait_output(f"/{job.id}\n")
    leaf = os.path.join(parent, job.id)
    with job.control() as peer:
        peer.write(b"go\n")
        job.wait_ended()
        assert os.path.exists(leaf)  # of what was left behind, which is limited as well
        peer.kill(signal=9)
    job.wait_runner_gone()
    assert not os.path.exists(leaf)


@pytest.mark.root
def test_a_command_that_does_not_exist_leaves_no_leaf(zygote: Zygote, parent: str) -> None:
    job = zygote.submit(["/nowhere/x"], cgroup=parent, max_cpu_s=60)
    assert job.wait_failed().exit_code == 127
    assert not os.path.exists(os.path.join(parent, job.id))


@pytest.mark.root
def test_a_killed_runners_job_keeps_its_leaf(zygote: Zygote, parent: str) -> None:
    job = zygote.submit("read x; cat /proc/self/cgroup", cgroup=parent, max_cpu_s=60).wait_started()
    os.kill(job.run().runner_pid, 9)
    job.wait_started()
    with job.control() as peer:
        peer.write(b"go\n")
    job.wait_ended()
    assert f"/{job.id}\n" in job.text()
    job.wait_runner_gone()
    assert not os.path.exists(os.path.join(parent, job.id))


def test_a_services_subgroup_stands_for_its_unit() -> None:
    unit = "/user.slice/user-1000.slice/user@1000.service/app.slice/bgjobd.service"
    assert delegated(f"{unit}/{SERVICE_SUBGROUP}") == unit
    assert delegated(unit) == unit
    assert delegated(f"/user.slice/somebodys/{SERVICE_SUBGROUP}") == f"/user.slice/somebodys/{SERVICE_SUBGROUP}"


def test_memory_is_said_to_be_limited_only_where_it_is(tmp_path: Path) -> None:
    assert not limits_whole_jobs(str(tmp_path))
    tmp_path.joinpath("cgroup.subtree_control").write_text("cpu pids\n")
    assert not limits_whole_jobs(str(tmp_path))
    tmp_path.joinpath("cgroup.subtree_control").write_text("cpu memory pids\n")
    assert limits_whole_jobs(str(tmp_path))


@pytest.mark.memory_cgroup
@pytest.mark.parametrize("command", [TAKE_MEMORY, f"({TAKE_MEMORY}); exit 0"], ids=["the main process", "a child"])
def test_a_job_that_needs_more_memory_is_killed_as_a_whole(zygote: Zygote, parent: str, command: str) -> None:
    job = zygote.run(command, cgroup=parent, max_memory_bytes=64 * MIB)
    assert (job.exit().reason, job.code(), job.text()) == ("oom", -9, "")
    job.wait_runner_gone()
    assert not os.path.exists(os.path.join(parent, job.id))


@pytest.mark.memory_cgroup
def test_memory_that_is_only_reserved_does_not_count(zygote: Zygote, parent: str) -> None:
    reserve = "python3 -c 'import mmap; m = mmap.mmap(-1, 1 << 30); print(len(m))'"
    assert zygote.run(reserve, cgroup=parent, max_memory_bytes=64 * MIB).text() == f"{1 << 30}\n"
