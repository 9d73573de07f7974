"""A full disk: said, waited for, never silent; and everything goes on by itself when there is room again."""

import contextlib
import os
import tempfile
from collections.abc import Iterator

import pytest

from bgjobd.client import connect
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.protocol import (
    DaemonStatus,
    Events,
    EventType,
    Follow,
    JobStatus,
    Kill,
    ListJobs,
    Send,
    Status,
)
from tests.helpers.cli import clean_environment
from tests.helpers.daemon import Daemon, end_instance
from tests.helpers.disks import mounted_disk
from tests.helpers.submit import Jobs
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.root

DISK_BYTES = 24 << 20


@pytest.fixture
def small_disk() -> Iterator[str]:
    """A file system of a few MiB, as BGJOB_HOME."""
    directory = tempfile.mkdtemp(prefix="bgj-", dir="/tmp")
    with mounted_disk(directory, f"size={DISK_BYTES}"):
        yield directory
    os.rmdir(directory)


@pytest.fixture
def full(small_disk: str) -> Iterator[tuple[Jobs, Daemon]]:
    """A daemon on that disk, without a free-space floor: that is another rule."""
    env = clean_environment(small_disk)
    daemon = Daemon({**env, "BGJOB_MIN_FREE_BYTES": "0"})
    daemon.start()
    try:
        with connect(daemon.paths, autostart=False) as client:
            yield Jobs(client, env), daemon
        daemon.stop(kill_jobs=True)
        assert not end_instance(env)
    finally:
        daemon.close()


def fill(directory: str) -> str:
    """Use up all that is free; return the file that does."""
    path = os.path.join(directory, "ballast")
    with open(path, "wb", buffering=0) as file:
        block = 1 << 20
        while block:
            try:
                file.write(bytes(block))
            except OSError:
                block //= 2
    return path


def test_output_waits_for_room_is_reported_and_loses_no_byte(full: tuple[Jobs, Daemon], small_disk: str) -> None:
    jobs, daemon = full
    job = jobs.run("read x; head -c 3000000 /dev/zero | tr '\\0' x; exit 4")
    ballast = fill(small_disk)
    with connect(daemon.paths, autostart=False) as other:
        stream = other.stream(Follow(job=job.job_id))  # somebody watches: that is how the daemon hears of it
        jobs.client.call(Send(job=job.job_id, data=b"\n"))
        wait_until(lambda: jobs.client.call(Status(jobs=[job.job_id])).jobs[0].blocked == "disk full", "the report")
        os.unlink(ballast)
        assert sum(len(item.run.data) for item in stream) == 3_000_000
    ended = jobs.end(job)
    assert (ended.exit_code, ended.output_bytes, ended.dropped_bytes) == (4, 3_000_000, 0)
    types = [event.type for event in jobs.client.stream(Events(since=0, follow=False))]
    assert EventType.BLOCKED in types
    assert types.index(EventType.BLOCKED) < types.index(EventType.UNBLOCKED)


def test_a_job_that_cannot_be_written_down_is_refused_and_leaves_nothing(
    full: tuple[Jobs, Daemon], small_disk: str, refused
) -> None:
    jobs, daemon = full
    ballast = fill(small_disk)
    with refused(ErrorCode.STORAGE) as error:
        for _ in range(50):  # the first may still find room in the last page
            jobs.run("true")
    assert "No space left" in error.value.message
    os.unlink(ballast)
    known = {job.job_id for job in jobs.client.call(ListJobs()).jobs}
    for folder in os.listdir(daemon.paths.jobs_dir):
        assert set(os.listdir(f"{daemon.paths.jobs_dir}/{folder}")) <= known
    assert jobs.finish("exit 3").exit_code == 3
    wait_until(lambda: not os.listdir(daemon.paths.live_dir), "no live marks")


def test_an_end_on_a_full_disk_is_recorded_when_there_is_room(full: tuple[Jobs, Daemon], small_disk: str) -> None:
    jobs, daemon = full
    job = jobs.run("read x; exit 6")
    ballast = fill(small_disk)
    jobs.client.call(Send(job=job.job_id, data=b"\n"))
    assert jobs.client.call(DaemonStatus()).pid == daemon.pid
    os.unlink(ballast)
    assert jobs.end(job).exit_code == 6
    wait_until(lambda: not jobs.client.call(DaemonStatus()).warnings, "the history to be written")
    daemon.kill()
    daemon.start()
    with connect(daemon.paths, autostart=False) as client:
        assert [info.exit_code for info in client.call(ListJobs()).jobs] == [6]


@pytest.mark.slow
def test_a_kill_does_not_wait_for_the_disk(full: tuple[Jobs, Daemon], small_disk: str) -> None:
    jobs, _ = full
    job = jobs.run("sleep 300")
    ballast = fill(small_disk)
    reply = jobs.client.call(Kill(job=job.job_id))
    assert (reply.receipt.status, reply.receipt.survivors) == ("killed", [])
    os.unlink(ballast)
    assert jobs.end(job).status is JobStatus.KILLED


@pytest.mark.slow
def test_a_job_whose_start_cannot_be_written_down_runs_and_can_be_killed(
    full: tuple[Jobs, Daemon], small_disk: str
) -> None:
    jobs, _ = full
    ballast = fill(small_disk)
    job = None
    while job is None:  # page by page, until there is room for what was asked for and for nothing more
        with open(ballast, "r+b") as file:
            file.truncate(os.path.getsize(ballast) - 4096)
        with contextlib.suppress(BgjobError):
            job = jobs.run("sleep 300")
    assert job.status is JobStatus.RUNNING
    assert jobs.client.call(Kill(job=job.job_id)).receipt.status == "killed"
    os.unlink(ballast)
    assert jobs.end(job).status is JobStatus.KILLED


@pytest.mark.slow
def test_a_daemon_that_cannot_start_says_that_the_disk_is_full_and_starts_when_there_is_room(
    full: tuple[Jobs, Daemon], small_disk: str
) -> None:
    jobs, daemon = full
    job = jobs.run("sleep 300")
    ballast = fill(small_disk)
    daemon.kill()
    with pytest.raises(BgjobError, match=r"cannot start the daemon: .*disk is full"):
        connect(daemon.paths)
    os.unlink(ballast)
    daemon.start()
    with connect(daemon.paths, autostart=False) as client:
        assert client.call(Status(jobs=[job.job_id])).jobs[0].status is JobStatus.RUNNING
