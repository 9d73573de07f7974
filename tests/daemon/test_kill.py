"""kill: gone means gone, and the receipt says who and how."""

import contextlib
import os
import signal
from collections.abc import Iterator

import msgspec
import pytest

from bgjobd.client import connect
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.protocol import (
    AnswerKind,
    DaemonStatus,
    EndReason,
    JobReply,
    JobStatus,
    Kill,
    ListJobs,
    Shutdown,
    Status,
)
from tests.helpers.daemon import Daemon
from tests.helpers.procs import children_of, stop_process
from tests.helpers.raw import Raw
from tests.helpers.submit import Jobs, request
from tests.helpers.waiting import wait_for_file, wait_gone, wait_until

pytestmark = pytest.mark.shared


def test_kill_ends_the_whole_tree_and_answers_with_a_receipt(jobs: Jobs, workdir: str) -> None:
    job = jobs.run("sleep 300 & (setsid sleep 301 &) ; echo > ready; wait", cwd=workdir)
    wait_for_file(f"{workdir}/ready")
    reply = jobs.client.call(Kill(job=job.job_id, reason="the test is over"))
    receipt = reply.receipt
    assert (receipt.status, receipt.survivors) == ("killed", [])
    assert {"sleep", "sh"} <= {process.name for process in receipt.processes}
    assert all(process.signals for process in receipt.processes)
    assert all(process.ended for process in receipt.processes)
    for process in receipt.processes:
        wait_gone(process.pid)
    assert (reply.job.status, reply.job.reason) == (JobStatus.KILLED, EndReason.USER)
    assert reply.job.kill_reason == "the test is over"
    assert reply.job.killed_by is not None


def test_when_what_was_left_behind_was_killed_nothing_is_said_to_be_left(jobs: Jobs) -> None:
    job = jobs.finish("sleep 300 & sleep 301 & exit 0")
    assert job.left_behind_count == 2
    reply = jobs.client.call(Kill(job=job.job_id))
    assert (reply.receipt.status, len(reply.receipt.processes)) == ("killed", 2)
    assert (reply.job.left_behind, reply.job.left_behind_count) == ([], 0)


@pytest.mark.parametrize("grace_s", [-1.0, 1e308, float("inf"), float("nan")])
def test_a_grace_that_is_none_is_refused_and_the_job_goes_on(jobs: Jobs, grace_s: float) -> None:
    job = jobs.run("sleep 300")
    with pytest.raises(BgjobError, match=r"cannot use grace_s = .*: accepted is up to 315,360,000 seconds") as caught:
        jobs.client.call(Kill(job=job.job_id, grace_s=grace_s))
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    assert jobs.client.call(Status(jobs=[job.job_id])).jobs[0].status is JobStatus.RUNNING


def test_a_process_that_ignores_the_stop_signal_gets_kill_after_the_grace(jobs: Jobs, workdir: str) -> None:
    job = jobs.run("trap '' TERM; echo > ready; while :; do sleep 300; done", cwd=workdir)
    wait_for_file(f"{workdir}/ready")
    receipt = jobs.client.call(Kill(job=job.job_id, grace_s=0.05)).receipt
    shell = next(process for process in receipt.processes if process.pid == job.pid)
    assert (shell.signals, shell.ended) == (["SIGTERM", "SIGKILL"], "SIGKILL")


def test_a_program_that_handles_the_stop_signal_ends_in_its_own_way(jobs: Jobs, workdir: str) -> None:
    job = jobs.run("trap 'echo bye > said; exit 0' TERM; echo > ready; while :; do sleep 0.05; done", cwd=workdir)
    wait_for_file(f"{workdir}/ready")
    ended = jobs.client.call(Kill(job=job.job_id)).job
    assert (ended.status, ended.exit_code, ended.signal) == (JobStatus.KILLED, 0, None)
    assert os.path.exists(f"{workdir}/said")


def test_one_signal_is_only_sent_and_the_job_goes_on(jobs: Jobs, workdir: str) -> None:
    job = jobs.run("trap 'echo > hup' HUP; echo > ready; while [ ! -e hup ]; do sleep 0.05; done; exit 6", cwd=workdir)
    wait_for_file(f"{workdir}/ready")
    reply = jobs.client.call(Kill(job=job.job_id, signal="hup"))
    assert reply.receipt.status == "signalled"
    ended = jobs.end(job)
    assert (ended.status, ended.exit_code) == (JobStatus.FAILED, 6)


def test_a_job_that_dies_of_the_one_signal_it_was_sent_was_killed(jobs: Jobs) -> None:
    job = jobs.run("exec sleep 300")
    jobs.client.call(Kill(job=job.job_id, signal="INT"))
    ended = jobs.end(job)
    assert (ended.status, ended.reason, ended.signal) == (JobStatus.KILLED, EndReason.USER, "SIGINT")


def test_killing_an_ended_job_says_so_and_changes_nothing(jobs: Jobs) -> None:
    job = jobs.finish("exit 3")
    reply = jobs.client.call(Kill(job=job.job_id))
    assert reply.receipt.status == "already_terminated"
    assert jobs.client.call(Status(jobs=[job.job_id])).jobs[0].exit_code == 3


def test_killing_an_unknown_job_is_no_such_job(jobs: Jobs, refused) -> None:
    with refused(ErrorCode.NO_SUCH_JOB):
        jobs.client.call(Kill(job="nobody"))


@pytest.mark.parametrize("signal", ["SIGFOO", "99999", ""])
def test_a_signal_that_does_not_exist_is_refused(jobs: Jobs, refused, signal: str) -> None:
    job = jobs.run("sleep 300")
    with refused(ErrorCode.INVALID_ARGUMENT) as error:
        jobs.client.call(Kill(job=job.job_id, signal=signal))
    assert repr(signal) in error.value.message


def test_what_a_job_left_behind_is_reported_and_killed_on_request(jobs: Jobs, workdir: str) -> None:
    job = jobs.finish("sleep 300 & echo $! > pid; exit 0", cwd=workdir)
    assert (job.status, job.left_behind_count) == (JobStatus.COMPLETED, 1)
    with open(f"{workdir}/pid") as file:
        pid = int(file.read())
    assert [process.pid for process in job.left_behind] == [pid]
    detailed = jobs.client.call(Status(jobs=[job.job_id], details=True)).jobs[0]
    assert [process.name for process in detailed.left_behind] == ["sleep"]
    reply = jobs.client.call(Kill(job=job.job_id))
    assert pid in [process.pid for process in reply.receipt.processes]
    wait_gone(pid)
    assert reply.job.status is JobStatus.COMPLETED


def test_kill_leftovers_ends_them_with_the_main_process(jobs: Jobs, workdir: str) -> None:
    job = jobs.finish("sleep 300 & echo $! > pid; exit 0", cwd=workdir, kill_leftovers=True)
    assert (job.status, job.left_behind_count) == (JobStatus.COMPLETED, 0)
    with open(f"{workdir}/pid") as file:
        wait_gone(int(file.read()))


def test_a_time_limit_ends_the_job_as_timeout(jobs: Jobs) -> None:
    job = jobs.finish("sleep 300", timeout_s=0.1)
    assert (job.status, job.reason) == (JobStatus.KILLED, EndReason.TIMEOUT)


def test_silence_beyond_the_idle_limit_ends_the_job_as_idle_timeout(jobs: Jobs) -> None:
    job = jobs.finish("echo one; sleep 300", idle_timeout_s=0.2)
    assert (job.status, job.reason, job.output_bytes) == (JobStatus.KILLED, EndReason.IDLE_TIMEOUT, 4)


@contextlib.contextmanager
def nobody_starts_jobs(jobs: Jobs, daemon: Daemon) -> Iterator[Raw]:
    """Stop the zygote and its spares; give a connection on which to ask for a start."""
    zygote = jobs.client.call(DaemonStatus()).zygote_pid
    wait_until(lambda: len(children_of(zygote)) >= 4, "the spares")
    stopped = [zygote, *(spare.pid for spare in children_of(zygote))]
    for pid in stopped:
        stop_process(pid)
    try:
        with Raw(daemon.paths.socket) as raw:
            yield raw
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


def ask_for(raw: Raw, jobs: Jobs, daemon: Daemon, command: str) -> str:
    """Ask for a job and return its id, without waiting for its start."""
    raw.call(1, request(command, env=jobs.env))
    wait_until(lambda: os.listdir(daemon.paths.live_dir), "the job", directory=daemon.paths.live_dir)
    (job_id,) = os.listdir(daemon.paths.live_dir)
    return job_id


@pytest.mark.shared(False)
def test_a_job_that_no_runner_takes_can_be_killed_and_never_runs(jobs: Jobs, daemon: Daemon, workdir: str) -> None:
    with nobody_starts_jobs(jobs, daemon) as raw:
        job_id = ask_for(raw, jobs, daemon, f"echo ran > {workdir}/trace")
        reply = jobs.client.call(Kill(job=job_id, reason="it does not start"))
        assert (reply.receipt.status, reply.receipt.note) == ("killed", "it was waiting for its start and never ran")
        answer = raw.answer()  # whoever asked for it is told
    assert answer.kind is AnswerKind.REPLY
    told = msgspec.msgpack.decode(answer.body, type=JobReply).job
    assert (told.status, told.reason, told.kill_reason) == (JobStatus.KILLED, EndReason.CANCELLED, "it does not start")
    assert jobs.finish("exit 3").exit_code == 3  # a spare has read the first request by now
    assert not os.path.exists(f"{workdir}/trace")
    assert jobs.client.call(Status(jobs=[job_id])).jobs[0].status is JobStatus.KILLED


@pytest.mark.shared(False)
def test_the_daemon_can_be_stopped_with_its_jobs_when_no_runner_takes_one(jobs: Jobs, daemon: Daemon) -> None:
    with nobody_starts_jobs(jobs, daemon) as raw:
        job_id = ask_for(raw, jobs, daemon, "sleep 300")
        jobs.client.call(Shutdown(kill_jobs=True))
    daemon.wait()
    daemon.start()
    with connect(daemon.paths, autostart=False) as client:
        assert [(job.job_id, job.status) for job in client.call(ListJobs()).jobs] == [(job_id, JobStatus.KILLED)]
