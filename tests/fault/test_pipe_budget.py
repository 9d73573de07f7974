"""A user owns 64 MiB of pipe buffers, and past that every pipe of that user on the machine shrinks (pipe(7))."""

import fcntl
import os

import pytest

from bgjobd.protocol import Kill
from tests.helpers.submit import Jobs

PIPE_BYTES = 64 << 10  # what a pipe has unless somebody asks for more


def pipe_bytes(pid: int, fd: int) -> int:
    """Return the size of the pipe that is descriptor `fd` of a process."""
    opened = os.open(f"/proc/{pid}/fd/{fd}", os.O_NONBLOCK | (os.O_WRONLY if fd else os.O_RDONLY))
    try:
        return fcntl.fcntl(opened, fcntl.F_GETPIPE_SZ)
    finally:
        os.close(opened)


def test_an_idle_job_has_pipes_of_the_default_size_at_most(client, env: dict[str, str]) -> None:
    jobs = Jobs(client, env)
    job = jobs.run("exec sleep 300")
    assert job.pid is not None
    assert [pipe_bytes(job.pid, fd) <= PIPE_BYTES for fd in (0, 1, 2)] == [True, True, True]
    assert sum(pipe_bytes(job.pid, fd) for fd in (0, 1, 2)) <= 3 * PIPE_BYTES
    client.call(Kill(job=job.job_id))


@pytest.mark.slow
def test_a_job_that_talked_a_lot_does_not_keep_a_large_pipe(client, env: dict[str, str]) -> None:
    jobs = Jobs(client, env)
    job = jobs.run("head -c 40000000 /dev/zero; exec sleep 300")
    from bgjobd.protocol import Condition, Wait

    client.call(Wait(jobs=[job.job_id], until=[Condition(quiet_s=1.5)], timeout_s=30))
    assert job.pid is not None
    assert pipe_bytes(job.pid, 1) <= 256 << 10
    client.call(Kill(job=job.job_id))
