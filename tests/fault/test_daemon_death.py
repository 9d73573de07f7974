"""The daemon is killed at every kind of instant: nothing is lost, and the next client call goes on."""

import fcntl
import os
import signal
import threading
import time
from functools import partial

import pytest

from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.paths import Paths
from bgjobd.protocol import (
    Condition,
    DaemonStatus,
    EndReason,
    Events,
    EventType,
    Follow,
    JobStatus,
    Kill,
    ListJobs,
    Output,
    Send,
    Shutdown,
    Status,
    Wait,
)  # fmt: skip
from bgjobd.runner.records import ExitRecord, Spec, read_record, write_record
from tests.helpers.instance import daemon_pid, kill_and_wait, log_bytes, run_record, zygote_pid
from tests.helpers.procs import children_of, stop_process
from tests.helpers.raw import Raw
from tests.helpers.submit import Jobs, request
from tests.helpers.waiting import wait_for_file, wait_gone, wait_until

COUNTER = "i=0; while [ $i -lt {lines} ]; do i=$((i+1)); echo line $i; {pause} done; exit 7"


def counted(lines: int) -> bytes:
    return b"".join(b"line %d\n" % number for number in range(1, lines + 1))


def test_jobs_go_on_while_the_daemon_is_dead_and_are_adopted_with_their_names(
    again: Jobs, paths: Paths, workdir: str
) -> None:
    job = again.run("echo before; while [ ! -e go ]; do sleep 0.02; done; echo after; exit 7", name="long", cwd=workdir)
    short = again.run("echo short; while [ ! -e short ]; do sleep 0.02; done; exit 3", name="short", cwd=workdir)
    kill_and_wait(daemon_pid(paths))
    open(f"{workdir}/short", "w").close()
    wait_gone(short.pid)  # it ends while no daemon is there
    ended = again.end(short)
    assert (ended.status, ended.exit_code, ended.seen_by) == (JobStatus.FAILED, 3, "runner")
    adopted = again.client.call(Status(jobs=["long"])).jobs[0]
    assert (adopted.job_id, adopted.pid, adopted.status) == (job.job_id, job.pid, JobStatus.RUNNING)
    open(f"{workdir}/go", "w").close()
    assert again.end(job).exit_code == 7
    assert log_bytes(paths, job.job_id) == b"before\nafter\n"


@pytest.mark.slow
@pytest.mark.parametrize("instant", range(6))
def test_a_daemon_killed_in_the_middle_of_everything_loses_nothing(again: Jobs, paths: Paths, instant: int) -> None:
    """A burst of submissions is under way; the daemon dies after a few replies, before it could write the history."""
    killed_at = instant * 3
    accepted: list[str] = []
    for number in range(20):
        accepted.append(again.run(f"echo {number}; exit {number}").job_id)
        if number == killed_at:
            kill_and_wait(daemon_pid(paths))
    for number, job_id in enumerate(accepted):
        ended = again.end(job_id)
        assert (ended.exit_code, log_bytes(paths, job_id)) == (number, b"%d\n" % number)
    assert again.client.call(ListJobs()).total == 20


def test_a_job_whose_submitter_saw_the_daemon_die_exists_exactly_once(again: Jobs, paths: Paths) -> None:
    """The reply is lost with the daemon; the idempotency key finds the job, started or queued, or makes it now."""
    wanted = request("echo once >> $BGJOB_DIR/times; sleep 0.1", env=again.env, idempotency_key="once")
    pid = daemon_pid(paths) if again.client.call(DaemonStatus()) else 0
    result: list[object] = []

    def submit() -> None:
        try:
            result.append(again.client.call(wanted))
        except BgjobError as error:
            result.append(error)

    thread = threading.Thread(target=submit)
    os.kill(pid, signal.SIGSTOP)
    thread.start()  # the request waits in the socket of a stopped daemon
    os.kill(pid, signal.SIGCONT)
    os.kill(pid, signal.SIGKILL)
    thread.join()
    reply = again.client.call(wanted)
    job = again.end(reply.job)
    with open(f"{paths.job_dir(job.job_id)}/times") as file:
        assert file.read() == "once\n"
    assert again.client.call(ListJobs()).total == 1


def test_queued_jobs_are_queued_again_in_their_order(env: dict[str, str], workdir: str) -> None:
    from bgjobd.client import connect
    from tests.helpers.daemon import Daemon

    daemon = Daemon({**env, "BGJOB_MAX_JOBS": "1"})
    daemon.start()
    try:
        with connect(daemon.paths, autostart=False) as client:
            jobs = Jobs(client, env)
            jobs.run("cat", name="first")
            for number in range(5):
                jobs.run(f"echo {number} >> order", cwd=workdir)
        daemon.kill()
        daemon.start()
        with connect(daemon.paths, autostart=False) as client:
            queued = [job for job in client.call(ListJobs()).jobs if job.status is JobStatus.QUEUED]
            assert sorted(job.queue_position or 0 for job in queued) == [1, 2, 3, 4, 5]
            client.call(Kill(job="first"))
            client.call(Wait(jobs=[job.job_id for job in queued]))
        with open(f"{workdir}/order") as file:
            assert file.read().split() == ["0", "1", "2", "3", "4"]
        daemon.stop()
    finally:
        daemon.close()


def test_a_follow_and_a_wait_are_told_that_the_daemon_went_and_continue_at_their_cursor(
    again: Jobs, paths: Paths
) -> None:
    from bgjobd.client import connect

    job = again.run("echo one; read x; echo two; read y; exit 7")
    with connect(paths) as client:
        stream = client.stream(Follow(job=job.job_id))
        first = next(stream).run
        kill_and_wait(daemon_pid(paths))
        with pytest.raises(BgjobError) as error:
            next(stream)
        assert error.value.code is ErrorCode.CONNECTION_LOST
    again.client.call(Send(job=job.job_id, data=b"\n"))
    again.client.call(Send(job=job.job_id, data=b"\n"))
    with connect(paths) as client:
        rest = list(client.stream(Follow(job=job.job_id, since=first.offset + len(first.data))))
    assert b"".join([first.data, *(item.run.data for item in rest)]) == b"one\ntwo\n"
    assert again.end(job).exit_code == 7


def test_a_daemon_killed_during_a_kill_does_not_stop_the_kill(again: Jobs, paths: Paths, workdir: str) -> None:
    job = again.run("trap 'echo > told' TERM; echo > ready; while :; do sleep 0.02; done", cwd=workdir)
    wait_for_file(f"{workdir}/ready")
    lost: list[BgjobError] = []

    def kill() -> None:
        try:
            again.client.call(Kill(job=job.job_id, grace_s=1.0))
        except BgjobError as error:
            lost.append(error)

    thread = threading.Thread(target=kill)
    thread.start()
    wait_for_file(f"{workdir}/told")
    kill_and_wait(daemon_pid(paths))
    thread.join()
    ended = again.end(job)
    assert (ended.status, ended.reason, ended.signal) == (JobStatus.KILLED, EndReason.USER, "SIGKILL")
    assert lost[0].code is ErrorCode.CONNECTION_LOST


def test_a_polite_restart_keeps_jobs_ids_and_the_numbers_of_events(again: Jobs, paths: Paths) -> None:
    job = again.run("read x; exit 7", name="kept")
    before = again.client.call(DaemonStatus())
    again.client.call(Shutdown())
    wait_gone(before.pid)
    after = again.client.call(DaemonStatus())
    assert after.pid != before.pid
    again.client.call(Send(job="kept", data=b"\n"))
    assert again.end(job).exit_code == 7
    from bgjobd.client import connect

    with connect(paths) as client:
        events = list(client.stream(Events(since=0, follow=False)))
    assert [event.type for event in events] == [EventType.QUEUED, EventType.STARTED, EventType.ENDED]
    assert [event.seq for event in events] == [1, 2, 3]


def test_many_clients_that_find_no_daemon_start_exactly_one(again: Jobs, paths: Paths) -> None:
    pids: list[int] = []

    def ask() -> None:
        pids.append(again.client.call(DaemonStatus()).pid)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pids) == 8
    assert set(pids) == {daemon_pid(paths)}


def test_the_zygotes_death_disturbs_no_job_and_the_next_job_starts(again: Jobs, paths: Paths) -> None:
    job = again.run("echo one; read x; echo two; exit 7")
    kill_and_wait(zygote_pid(paths, job.job_id))
    second = again.finish("exit 4")
    assert second.exit_code == 4
    assert zygote_pid(paths, second.job_id) != zygote_pid(paths, job.job_id)
    again.client.call(Send(job=job.job_id, data=b"\n"))
    ended = again.end(job)
    assert (ended.exit_code, ended.seen_by, log_bytes(paths, job.job_id)) == (7, "runner", b"one\ntwo\n")


@pytest.mark.slow
def test_daemon_and_zygote_killed_together_disturb_no_job(again: Jobs, paths: Paths) -> None:
    jobs = [again.run(COUNTER.format(lines=200, pause="[ $((i % 50)) = 0 ] && sleep 0.05;")) for _ in range(10)]
    kill_and_wait(zygote_pid(paths, jobs[0].job_id))
    kill_and_wait(daemon_pid(paths))
    for job in jobs:
        assert again.end(job).exit_code == 7
        assert log_bytes(paths, job.job_id) == counted(200)


def test_input_that_was_accepted_before_the_daemons_death_arrives(again: Jobs, paths: Paths) -> None:
    job = again.run("read x; read y; echo $x $y")
    again.client.call(Send(job=job.job_id, data=b"one\n"))
    kill_and_wait(daemon_pid(paths))
    again.client.call(Send(job=job.job_id, data=b"two\n"))
    again.end(job)
    assert b"".join(run.data for run in again.client.call(Output(job=job.job_id)).runs) == b"one two\n"


def test_a_wait_can_be_asked_again_and_finds_what_happened_meanwhile(again: Jobs, paths: Paths) -> None:
    job = again.run("echo ready; sleep 300")
    wait_until(lambda: log_bytes(paths, job.job_id), "output")
    kill_and_wait(daemon_pid(paths))
    reply = again.client.call(Wait(jobs=[job.job_id], until=[Condition(pattern="ready")], since={job.job_id: 0}))
    assert reply.fired[0].condition == "pattern"


def test_the_runner_of_an_adopted_job_is_still_watched(again: Jobs, paths: Paths) -> None:
    """An exit after adoption is noticed at once, although the runner's hints go to a daemon that is dead."""
    job = again.run("read x; exit 5")
    kill_and_wait(daemon_pid(paths))
    runner = run_record(paths, job.job_id).runner_pid
    again.client.call(Send(job=job.job_id, data=b"\n"))
    assert again.end(job).exit_code == 5
    wait_gone(runner)


def test_a_hook_that_cannot_be_started_keeps_no_daemon_from_starting(again: Jobs, paths: Paths, workdir: str) -> None:
    """As an earlier version may have written it."""
    job = again.run("while [ ! -e go ]; do sleep 0.02; done", cwd=workdir, on_exit=b"echo")
    path = f"{paths.job_dir(job.job_id)}/spec"
    spec = read_record(Spec, path)
    spec.on_exit = b"echo \0"
    write_record(spec, path)
    os.kill(daemon_pid(paths), signal.SIGKILL)
    record = run_record(paths, job.job_id)
    open(f"{workdir}/go", "w").close()
    wait_gone(record.runner_pid)
    assert again.end(job).status is JobStatus.COMPLETED
    assert again.finish("true").status is JobStatus.COMPLETED


def test_a_stop_that_was_to_kill_and_was_given_up_leaves_a_daemon_that_works(
    again: Jobs, paths: Paths, workdir: str
) -> None:
    job = again.run("trap '' TERM; touch ready; while :; do sleep 0.05; done", cwd=workdir, grace_s=3600.0)
    wait_for_file(f"{workdir}/ready")
    with Raw(paths.socket) as raw:
        raw.call(1, Shutdown(kill_jobs=True))
        refuses = partial(refused_as_stopping, again)
        wait_until(refuses, "the daemon's beginning to stop")
    wait_until(lambda: not refuses(), "the daemon's going on")
    assert again.finish("true").status is JobStatus.COMPLETED
    assert again.client.call(Kill(job=job.job_id, grace_s=0.0)).receipt.status == "killed"


def refused_as_stopping(jobs: Jobs) -> bool:
    try:
        jobs.run("true")
    except BgjobError as error:
        return error.code is ErrorCode.SHUTTING_DOWN
    return False


def test_a_job_that_was_started_for_an_earlier_daemon_is_found_although_nobody_tells(
    again: Jobs, paths: Paths, workdir: str
) -> None:
    """Its runner, here the test, has the job's lock when it is asked for, and told somebody who is gone."""
    zygote = zygote_pid(paths, again.finish("true").job_id)
    wait_until(lambda: not os.listdir(paths.live_dir), "the first job to be in the history")
    stop_process(zygote)
    spares = [child.pid for child in children_of(zygote)]
    for pid in spares:
        stop_process(pid)
    submitted = threading.Thread(target=again.run, args=("exit 1",))
    submitted.start()
    wait_until(lambda: os.listdir(paths.live_dir), "the job's mark")
    (job_id,) = os.listdir(paths.live_dir)
    directory = paths.job_dir(job_id)
    with open(f"{directory}/lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for pid in (zygote, *spares):
            os.kill(pid, signal.SIGCONT)
        first = again.client.call(Wait(jobs=[job_id], timeout_s=0.5))
        assert first.timed_out
        write_record(
            ExitRecord(by="runner", reason="exit", status=7 << 8, ended_ns=time.time_ns()), f"{directory}/exit"
        )
    ended = again.client.call(Wait(jobs=[job_id])).jobs[0]
    submitted.join()
    assert (ended.status, ended.exit_code) == (JobStatus.FAILED, 7)
