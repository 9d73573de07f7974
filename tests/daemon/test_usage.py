"""What a job used, and the limits on what it may use."""

import signal
from datetime import datetime, timedelta

import pytest

from bgjobd.protocol import Condition, EndReason, JobStatus, Kill, Output, Status, Wait
from tests.helpers.submit import Jobs

pytestmark = pytest.mark.shared

MIB = 1 << 20
# Touches the memory: what is only reserved is not resident.
BUSY = "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done"
USES_64_MIB = "python3 -c 'x = bytearray(64 << 20)'"


def test_the_peak_of_a_small_job_is_not_that_of_its_runner(jobs: Jobs) -> None:
    assert jobs.finish("true").peak_rss_bytes is None


@pytest.mark.parametrize(
    "command",
    [USES_64_MIB, f"({USES_64_MIB}); true", f'sh -c "{USES_64_MIB}; true"; true', f"(setsid {USES_64_MIB} &) | cat"],
    ids=["the main process", "its child", "a grandchild", "an orphan"],
)
def test_the_peak_of_any_process_is_kept(jobs: Jobs, command: str) -> None:
    job = jobs.finish(command)
    for info in (job, jobs.client.call(Status(jobs=[job.job_id])).jobs[0]):
        assert info.peak_rss_bytes
        assert 64 * MIB < info.peak_rss_bytes < 256 * MIB


@pytest.mark.parametrize(
    "command",
    [f"({BUSY}); exit 3", f"(setsid sh -c '{BUSY}' &) | cat; exit 3"],
    ids=["a child", "an orphan"],
)
def test_the_processor_time_of_the_whole_tree_counts(jobs: Jobs, command: str) -> None:
    job = jobs.finish(command)
    assert job.cpu_s
    assert job.cpu_s > 0.01  # a lower bound; what it took is the machine's business


def test_what_was_killed_counts(jobs: Jobs) -> None:
    job = jobs.run(f"({BUSY}; echo busy; exec sleep 300) & exec sleep 300")
    jobs.client.call(Wait(jobs=[job.job_id], until=[Condition(pattern="busy")], timeout_s=30))
    assert (jobs.client.call(Kill(job=job.job_id)).job.cpu_s or 0) > 0.01


def test_while_a_job_runs_the_time_of_children_that_have_ended_counts(jobs: Jobs) -> None:
    job = jobs.run(f"(setsid sh -c '{BUSY}' &) | cat; ({BUSY}); echo done; exec sleep 300")
    jobs.client.call(Wait(jobs=[job.job_id], until=[Condition(pattern="done")], timeout_s=30))
    [running] = jobs.client.call(Status(jobs=[job.job_id], details=True)).jobs
    alive = sum(process.cpu_s for process in running.processes or [])
    assert running.cpu_s is not None
    assert running.cpu_s - alive > 0.01


def test_a_job_has_the_priority_that_was_asked_for(jobs: Jobs) -> None:
    job = jobs.finish('test "$(nice)" = 7', nice=7, max_cpu_s=600, max_memory_bytes=4096 * MIB)
    assert job.status is JobStatus.COMPLETED
    assert (job.nice, job.max_cpu_s, job.max_memory_bytes) == (7, 600, 4096 * MIB)


def test_a_process_beyond_its_memory_fails_and_a_smaller_one_does_not(jobs: Jobs) -> None:
    assert jobs.finish(USES_64_MIB, max_memory_bytes=48 * MIB).status is JobStatus.FAILED
    assert jobs.finish(USES_64_MIB, max_memory_bytes=2048 * MIB).status is JobStatus.COMPLETED


def test_a_process_beyond_its_processor_time_ends_by_sigxcpu(jobs: Jobs) -> None:
    job = jobs.finish("while :; do :; done", max_cpu_s=1)
    assert (job.status, job.signal) == (JobStatus.FAILED, signal.SIGXCPU.name)


def test_limits_do_not_change_how_a_job_is_started(jobs: Jobs) -> None:
    """Without limits posix_spawn does it, with them our own fork."""
    line = "trap; ulimit -n; ls -l /proc/self/fd | wc -l; grep Sig /proc/self/status; ps -o sid= -p $$ | grep -c $$"
    outputs = []
    for fields in ({}, {"max_cpu_s": 600}):
        job = jobs.finish(line, **fields)
        reply = jobs.client.call(Output(job=job.job_id))
        outputs.append(b"".join(run.data for run in reply.runs).replace(b"SigQ", b"").splitlines())
    plain, confined = ([line for line in lines if b"\t" not in line or b"Sig" in line] for lines in outputs)
    assert plain == confined


def test_a_command_that_does_not_exist_is_told_as_without_limits(jobs: Jobs) -> None:
    plain, confined = jobs.finish(["/nowhere/x"]), jobs.finish(["/nowhere/x"], nice=5)
    assert (confined.reason, confined.exit_code, confined.error) == (plain.reason, plain.exit_code, plain.error)


def test_limits_hold_for_children_as_well(jobs: Jobs) -> None:
    job = jobs.finish(f"({USES_64_MIB}) || exit 5", max_memory_bytes=48 * MIB)
    assert job.exit_code == 5 or job.reason is EndReason.OOM  # where the limit is that of the whole job


def test_no_process_of_a_job_is_older_than_the_job(jobs: Jobs) -> None:
    job = jobs.run("sleep 300")
    details = jobs.client.call(Status(jobs=[job.job_id], details=True)).jobs[0]
    assert details.processes and details.started
    began = datetime.fromisoformat(details.started)
    for process in details.processes:
        assert datetime.fromisoformat(process.started) > began - timedelta(milliseconds=20), "a tick, and the rounding"
