"""The pipes of a job's standard streams. The zygote makes them before it forks a spare, and keeps the runner's ends.

Whoever holds these ends keeps the job going when its runner is killed: no SIGPIPE, no end of input, no lost byte.
"""

import os

from bgjobd.runner import system

# An unprivileged user owns 16384 pages of pipe buffers; beyond that every new pipe of that user has two, in any
# program (pipe(7)). 200 jobs with full pipes and 700 with small ones stay below that.
_JOBS_WITH_FULL_PIPES = 200
_SMALL_PIPE_BYTES = 16 << 10
_SMALL_STDIN_BYTES = 4 << 10


class Pipes:
    """Three pipes. `kept` are the runner's ends; the others are the job's."""

    __slots__ = ("stderr", "stderr_job", "stdin", "stdin_job", "stdout", "stdout_job")

    def __init__(self, live_jobs: int) -> None:
        """Make them, small when there are many jobs.

        Raises:
            OSError: there are no more descriptors; none is left open.
        """
        fds: list[int] = []
        try:
            for _ in range(3):
                fds += os.pipe()
        except OSError:
            for fd in fds:
                os.close(fd)
            raise
        self.stdin_job, self.stdin, self.stdout, self.stdout_job, self.stderr, self.stderr_job = fds
        for fd in self.kept():
            os.set_blocking(fd, False)
        many = live_jobs > _JOBS_WITH_FULL_PIPES
        system.set_pipe_bytes(self.stdin, _SMALL_STDIN_BYTES if many else _SMALL_PIPE_BYTES)
        if many:
            system.set_pipe_bytes(self.stdout, _SMALL_PIPE_BYTES)
            system.set_pipe_bytes(self.stderr, _SMALL_PIPE_BYTES)

    def kept(self) -> list[int]:
        """Return the runner's ends: stdin to write to, stdout and stderr to read from."""
        return [self.stdin, self.stdout, self.stderr]

    def job_ends(self) -> list[int]:
        """Return the job's ends."""
        return [self.stdin_job, self.stdout_job, self.stderr_job]
