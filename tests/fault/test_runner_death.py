"""Runners are killed: the job is not disturbed, nothing is lost, and the record says who saw the end."""

import os
import random
import signal
import threading

import pytest

from bgjobd.paths import Paths
from bgjobd.protocol import EndReason, Events, EventType, JobInfo, JobStatus, Kill, Send, Status
from bgjobd.runner.orphans import now_ticks
from bgjobd.runner.records import RunRecord, read_record, write_record
from tests.helpers.instance import daemon_pid, kill_and_wait, log_bytes, run_record, zygote_pid
from tests.helpers.submit import Jobs
from tests.helpers.waiting import wait_for_file, wait_gone, wait_until

COUNTER = "i=0; while [ $i -lt {lines} ]; do i=$((i+1)); echo line $i; {pause} done; exit 7"


def counted(lines: int) -> bytes:
    return b"".join(b"line %d\n" % number for number in range(1, lines + 1))


def test_a_killed_runner_is_replaced_and_the_zygote_sees_the_end(again: Jobs, paths: Paths) -> None:
    job = again.run("echo one; read x; echo two $x; read y; exit 7", name="rescued")
    wait_until(lambda: log_bytes(paths, job.job_id), "the first line")
    first = run_record(paths, job.job_id)
    kill_and_wait(first.runner_pid)
    again.client.call(Send(job="rescued", data=b"more\n"))  # its input still works
    wait_until(lambda: log_bytes(paths, job.job_id) == b"one\ntwo more\n", "the second line")
    second = run_record(paths, job.job_id)
    assert (second.job_pid, second.rescue) == (first.job_pid, 1)
    assert second.runner_pid != first.runner_pid
    again.client.call(Send(job="rescued", data=b"\n"))
    ended = again.end(job)
    assert (ended.status, ended.exit_code, ended.seen_by) == (JobStatus.FAILED, 7, "zygote")


def test_a_request_that_a_spare_takes_into_its_death_is_made_again(again: Jobs, paths: Paths) -> None:
    """The lock it has to read is a FIFO, which cannot be read from a position: the spare fails with the job in hand."""
    again.finish("true")
    wait_until(lambda: not os.listdir(paths.live_dir), "its end in the history", directory=paths.live_dir)
    wait_until(lambda: len(os.listdir(paths.prepared_dir)) == 4, "prepared directories", directory=paths.prepared_dir)
    for job_id in os.listdir(paths.prepared_dir):
        lock = f"{paths.prepared_dir}/{job_id}/lock"
        os.rename(lock, lock + ".whole")
        os.mkfifo(lock)
    submitted: list[JobInfo] = []
    threading.Thread(target=lambda: submitted.append(again.run("echo once; exit 3")), daemon=True).start()
    wait_until(lambda: os.listdir(paths.live_dir), "the job", directory=paths.live_dir)
    (job_id,) = os.listdir(paths.live_dir)
    start_log = f"{paths.state_dir}/bgjobd.start.log"
    wait_until(lambda: os.path.getsize(start_log), "a spare that fails", directory=paths.state_dir)
    os.rename(f"{paths.job_dir(job_id)}/lock.whole", f"{paths.job_dir(job_id)}/lock")
    wait_until(lambda: submitted, "the start")
    assert (again.end(submitted[0]).exit_code, log_bytes(paths, job_id)) == (3, b"once\n")


def test_runners_killed_at_random_lose_no_byte_and_no_exit_code(again: Jobs, paths: Paths) -> None:
    chance = random.Random(20)
    jobs = [again.run(COUNTER.format(lines=400, pause="[ $((i % 40)) = 0 ] && sleep 0.03;")) for _ in range(8)]
    for _ in range(24):
        record = run_record(paths, chance.choice(jobs).job_id)
        try:
            kill_and_wait(record.runner_pid)
        except ProcessLookupError:
            continue  # it had ended
    for job in jobs:
        ended = again.end(job)
        assert (ended.status, ended.exit_code) == (JobStatus.FAILED, 7)
        assert log_bytes(paths, job.job_id) == counted(400)


def test_a_rescued_job_can_be_killed_with_its_tree(again: Jobs, paths: Paths, workdir: str) -> None:
    job = again.run("(setsid sleep 300 &); sleep 300 & echo > ready; wait", cwd=workdir)
    wait_for_file(f"{workdir}/ready")
    kill_and_wait(run_record(paths, job.job_id).runner_pid)
    receipt = again.client.call(Kill(job=job.job_id)).receipt
    assert (receipt.status, receipt.survivors) == ("killed", [])
    assert sum(process.name == "sleep" for process in receipt.processes) == 2
    for process in receipt.processes:
        wait_gone(process.pid)
    assert again.end(job).reason is EndReason.USER


def test_the_daemon_tells_that_a_job_was_rescued(again: Jobs, paths: Paths) -> None:
    from bgjobd.client import connect

    job = again.run("read x; exit 3")
    kill_and_wait(run_record(paths, job.job_id).runner_pid)
    again.client.call(Send(job=job.job_id, data=b"\n"))
    again.end(job)
    with connect(paths) as client:
        types = [event.type for event in client.stream(Events(since=0, follow=False))]
    assert EventType.RESCUED in types


def test_a_rescue_is_told_of_although_the_job_ended_before_the_daemon_looked(again: Jobs, paths: Paths) -> None:
    from bgjobd.client import connect

    # The daemon is stopped from before the runner is killed until its successor has seen the end.
    paths.ensure()
    os.mkfifo(f"{paths.state_dir}/gate")
    job = again.run("read x < gate; exit 3", cwd=paths.state_dir)
    daemon = daemon_pid(paths)
    os.kill(daemon, signal.SIGSTOP)
    try:
        kill_and_wait(run_record(paths, job.job_id).runner_pid)
        wait_until(lambda: run_record(paths, job.job_id).rescue == 1, "the successor")
        with open(f"{paths.state_dir}/gate", "w") as gate:
            gate.write("\n")
        wait_until(lambda: os.path.exists(f"{paths.job_dir(job.job_id)}/exit"), "the end")
    finally:
        os.kill(daemon, signal.SIGCONT)
    again.end(job)
    with connect(paths) as client:
        types = [event.type for event in client.stream(Events(since=0, follow=False))]
    assert types[-2:] == [EventType.RESCUED, EventType.ENDED]


def test_runner_and_daemon_killed_together_are_both_replaced(again: Jobs, paths: Paths) -> None:
    job = again.run(COUNTER.format(lines=300, pause="[ $((i % 30)) = 0 ] && sleep 0.05;"))
    record, pid = run_record(paths, job.job_id), daemon_pid(paths)
    os.kill(pid, signal.SIGKILL)
    os.kill(record.runner_pid, signal.SIGKILL)
    wait_gone(pid)
    ended = again.end(job)
    assert (ended.exit_code, ended.seen_by, log_bytes(paths, job.job_id)) == (7, "zygote", counted(300))


def test_with_the_zygote_dead_too_the_daemon_sees_the_end_of_a_silent_job(
    again: Jobs, paths: Paths, workdir: str
) -> None:
    """Its pipes are gone with runner and zygote; a job that does not write is not disturbed, and its exit is seen."""
    job = again.run("while [ ! -e go ]; do sleep 0.02; done; exit 7", cwd=workdir)
    record, zygote = run_record(paths, job.job_id), zygote_pid(paths, job.job_id)
    os.kill(zygote, signal.SIGKILL)
    os.kill(record.runner_pid, signal.SIGKILL)
    wait_gone(zygote)
    assert again.client.call(Status(jobs=[job.job_id])).jobs[0].status is JobStatus.RUNNING
    open(f"{workdir}/go", "w").close()
    ended = again.end(job)
    assert (ended.status, ended.exit_code) == (JobStatus.FAILED, 7)
    assert ended.seen_by in ("daemon", "pidfd")


def test_an_end_that_nobody_saw_is_lost_and_never_completed(again: Jobs, paths: Paths, workdir: str) -> None:
    job = again.run("while [ ! -e go ]; do sleep 0.02; done; exit 0", cwd=workdir)
    record, zygote, daemon = run_record(paths, job.job_id), zygote_pid(paths, job.job_id), daemon_pid(paths)
    for pid in (daemon, zygote, record.runner_pid):
        os.kill(pid, signal.SIGKILL)
    wait_gone(record.runner_pid)
    open(f"{workdir}/go", "w").close()
    wait_gone(record.job_pid)
    ended = again.end(job)
    assert (ended.status, ended.reason, ended.exit_code) == (JobStatus.LOST, EndReason.UNOBSERVED, None)


def test_after_a_reboot_a_job_is_lost_and_no_process_is_signalled(again: Jobs, paths: Paths) -> None:
    """A reboot is what the record of another boot means: its pids now belong to others."""
    job = again.run("exec sleep 300")
    record, zygote, daemon = run_record(paths, job.job_id), zygote_pid(paths, job.job_id), daemon_pid(paths)
    for pid in (daemon, zygote, record.runner_pid):
        os.kill(pid, signal.SIGKILL)
    wait_gone(record.runner_pid)
    record.boot_id = "00000000-0000-0000-0000-000000000000"
    write_record(record, f"{paths.job_dir(job.job_id)}/run")
    ended = again.end(job)
    assert (ended.status, ended.reason) == (JobStatus.LOST, EndReason.REBOOT)
    assert again.client.call(Kill(job=job.job_id)).receipt.status == "already_terminated"
    os.kill(record.job_pid, 0)  # it lives: in the story it is somebody else's
    os.kill(record.job_pid, signal.SIGKILL)


def test_a_pid_that_was_reused_is_never_signalled(again: Jobs, paths: Paths) -> None:
    """The runner's pid belongs to another process now: the daemon must not take that for its runner."""
    job = again.run("exec sleep 300")
    record, zygote, daemon = run_record(paths, job.job_id), zygote_pid(paths, job.job_id), daemon_pid(paths)
    for pid in (daemon, zygote, record.runner_pid, record.job_pid):
        os.kill(pid, signal.SIGKILL)
    wait_gone(record.job_pid)
    # Processes that started in the same tick of 10 ms cannot be told apart.
    wait_until(lambda: now_ticks() > max(record.job_start, record.runner_start), "a later tick")
    innocent = os.posix_spawn("/bin/sleep", ["sleep", "300"], {"PATH": os.defpath})
    try:
        reused = read_record(RunRecord, f"{paths.job_dir(job.job_id)}/run")
        reused.runner_pid = reused.job_pid = innocent
        write_record(reused, f"{paths.job_dir(job.job_id)}/run")
        ended = again.end(job)
        assert ended.status is JobStatus.LOST
        again.client.call(Kill(job=job.job_id))
        assert os.waitpid(innocent, os.WNOHANG) == (0, 0)
    finally:
        os.kill(innocent, signal.SIGKILL)
        os.waitpid(innocent, 0)


@pytest.mark.parametrize("output", [b"", b"half a line"])
def test_a_runner_killed_right_after_the_main_process_ended_still_gives_the_right_end(
    again: Jobs, paths: Paths, output: bytes
) -> None:
    """Whoever finds the job first, runner or zygote: the exit code is the same."""
    job = again.run(f"printf '{output.decode()}'; read x; exit 5")
    runner = run_record(paths, job.job_id).runner_pid
    again.client.call(Send(job=job.job_id, data=b"\n"))
    try:
        os.kill(runner, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it was faster
    ended = again.end(job)
    assert (ended.exit_code, log_bytes(paths, job.job_id)) == (5, output)
