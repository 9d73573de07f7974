"""Whether a job waits for input, in answers about it; and what the client is told of that is remembered."""

from dataclasses import replace

import msgspec

from bgjob_mcp.agent import Agent
from bgjob_mcp.calls.reading import Shown
from bgjobd.protocol import JobInfo, Wait

__all__ = ["asking_of", "remember_asking", "with_asking"]


async def with_asking(agent: Agent, shown: Shown) -> Shown:
    """Return what is shown of a running job, with whether it waits for input now."""
    reply = await agent.daemon.call(Wait(jobs=[shown.job.job_id], needs_input=True, timeout_s=0))
    return asking_of(agent, shown, reply.jobs[0])


def asking_of(agent: Agent, shown: Shown, job: JobInfo) -> Shown:
    """Return what is shown of a job, with what `job` knows of its waiting for input; the client knows it then, too."""
    if not job.waiting_for_input or shown.job.ended:
        return shown
    remember_asking(agent, job)
    asking = {name: getattr(job, name) for name in ("waiting_for_input", "prompt", "input_mode")}
    return replace(shown, job=msgspec.structs.replace(shown.job, **asking))


def remember_asking(agent: Agent, job: JobInfo) -> None:
    """Remember that the client is told whether a job waits for input."""
    if job.waiting_for_input:
        agent.memory.told_input(job.job_id, job.output_bytes)
