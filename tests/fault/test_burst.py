"""Many jobs at once end right, and leave nothing in the daemon that could pile up."""

import os

import anyio
import pytest

from bgjobd import async_client
from bgjobd.protocol import JobInfo, Submit, Wait
from tests.helpers.daemon import Daemon
from tests.helpers.procs import descriptors_of, threads_of, zombies_of
from tests.helpers.waiting import DEADLINE_S, wait_until

JOBS = 300
# Threads stay for a while to be used again. They are as many as worked at once: the recorder's, the preparation's, the
# retention's, and those of a few requests; not one for each job.
MOST_THREADS = 10


@pytest.mark.slow
def test_300_jobs_submitted_at_once_end_right_and_leave_nothing_in_the_daemon(daemon: Daemon) -> None:
    assert [job.exit_code for job in anyio.run(submit_and_wait, daemon, 1)] == [0]  # opens what stays open
    idle = count_what_is_open(daemon)
    jobs = anyio.run(submit_and_wait, daemon, JOBS)
    assert [job.exit_code for job in jobs] == [number % 100 for number in range(JOBS)]
    assert [job.output_bytes for job in jobs] == [len(f"{number}\n") for number in range(JOBS)]
    assert {job.status.value for job in jobs if job.exit_code == 0} == {"completed"}
    assert {job.status.value for job in jobs if job.exit_code} == {"failed"}
    wait_until(
        lambda: os.listdir(daemon.paths.live_dir) == [], "the jobs to leave live/", directory=daemon.paths.live_dir
    )
    # No more than then: what was open to ask for one job may just not have been closed yet.
    wait_until(
        lambda: all(now <= before for now, before in zip(count_what_is_open(daemon), idle, strict=True)),
        f"the daemon to hold {idle} again",
    )
    assert threads_of(daemon.pid) <= MOST_THREADS
    assert os.listdir(daemon.paths.runtime_dir) == ["bgjobd.sock"]


async def submit_and_wait(daemon: Daemon, count: int) -> list[JobInfo]:
    """Submit jobs side by side over one connection; return them, in order, when all have ended."""
    environment = {os.fsencode(name): os.fsencode(value) for name, value in daemon.env.items()}
    ids = [""] * count
    with anyio.fail_after(DEADLINE_S):
        async with async_client.connect(daemon.paths, autostart=False) as connection:

            async def submit(number: int) -> None:
                command = b"echo %d; exit %d" % (number, number % 100)
                reply = await connection.call(Submit(command=command, cwd=os.fsencode(daemon.home), env=environment))
                ids[number] = reply.job.job_id

            async with anyio.create_task_group() as group:
                for number in range(count):
                    group.start_soon(submit, number)
            reply = await connection.call(Wait(jobs=ids))
            assert len(set(ids)) == count
            return reply.jobs


def count_what_is_open(daemon: Daemon) -> tuple[int, int]:
    """Return how many descriptors and zombies the daemon has."""
    return len(descriptors_of(daemon.pid)), len(zombies_of(daemon.pid))
