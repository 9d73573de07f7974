"""Submitting jobs from tests, with the environment a test wants them to have."""

import os
from collections.abc import Mapping
from typing import Any

from bgjobd.protocol import JobInfo, Submit, Wait


def request(command: str | list[str], *, env: Mapping[str, str], cwd: str = "/", **fields: Any) -> Submit:
    """Return the request for a shell line (a string) or an argv (a list)."""
    what: dict[str, Any] = (
        {"command": os.fsencode(command)}
        if isinstance(command, str)
        else {"argv": [os.fsencode(argument) for argument in command]}
    )
    environment = {os.fsencode(name): os.fsencode(value) for name, value in env.items()}
    return Submit(cwd=os.fsencode(cwd), env=environment, **what, **fields)


class Jobs:
    """Submits jobs through one client."""

    def __init__(self, client: Any, env: Mapping[str, str]) -> None:
        self.client = client
        self.env = dict(env)

    def run(self, command: str | list[str], **fields: Any) -> JobInfo:
        """Submit a job and return what the daemon says about it at once."""
        reply = self.client.call(request(command, env=self.env, **fields))
        job: JobInfo = reply.job
        return job

    def end(self, job: JobInfo | str, timeout_s: float = 30.0) -> JobInfo:
        """Wait for a job's end and return what is known about it then."""
        job_id = job if isinstance(job, str) else job.job_id
        reply = self.client.call(Wait(jobs=[job_id], timeout_s=timeout_s))
        assert not reply.timed_out, reply.jobs
        ended: JobInfo = reply.jobs[0]
        return ended

    def finish(self, command: str | list[str], **fields: Any) -> JobInfo:
        """Submit a job and wait for its end."""
        return self.end(self.run(command, **fields))
