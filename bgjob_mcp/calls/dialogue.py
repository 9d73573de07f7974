"""interact: write to a job's standard input and return what it says to that."""

import time

from bgjob_mcp.agent import Agent
from bgjob_mcp.arguments import MAX_EXECUTE_WAIT_S, Interact
from bgjob_mcp.calls.answer import Answer, Progress
from bgjob_mcp.calls.asking import asking_of
from bgjob_mcp.calls.compose import about
from bgjob_mcp.calls.jobs import encoded, job_facts
from bgjob_mcp.calls.reading import LONG_BYTES, read
from bgjobd.protocol import Condition, JobInfo, Send, Wait, WaitReply

__all__ = ["interact"]

# Output that comes in answer to a line comes in one go; a pause of this length says that it was all.
_SETTLED_S = 0.15
_SEND_TIMEOUT_S = 10.0
_SETTLED = Condition(quiet_s=_SETTLED_S)
_ANY_OUTPUT = Condition(pattern="")


async def interact(agent: Agent, arguments: Interact, progress: Progress | None) -> Answer:
    """Send input, and answer when the output that follows settles, the job waits again or ends, or `wait_s` is over."""
    data, enter = _typed(arguments)
    wait_s = min(arguments.wait_s, MAX_EXECUTE_WAIT_S)
    sent = await agent.daemon.call(
        Send(
            job=arguments.job_id,
            data=data,
            newline=enter,
            keys=arguments.keys,
            eof=arguments.eof,
            timeout_s=max(wait_s, _SEND_TIMEOUT_S),
        )
    )
    agent.memory.answered(sent.job_id, sent.cursor)
    echo_bytes = 0 if arguments.keys else len(data) + data.count(b"\n") + 2 * enter
    job = await _settled(agent, sent.job_id, sent.cursor, echo_bytes, wait_s)
    shown = await read(agent, sent.job_id, since=sent.cursor, most=lambda job: LONG_BYTES)
    shown = asking_of(agent, shown, job)
    said = []
    if wait_s < arguments.wait_s:
        said.append(f"wait_s was {arguments.wait_s:g}; the most is {wait_s:g}")
    return Answer(about(shown, said=said), job_facts(shown, said))


def _typed(arguments: Interact) -> tuple[bytes, bool]:
    """Return the text to send, and whether the Enter key follows: what that sends is not the same everywhere."""
    data = encoded("input", arguments.input)
    if not arguments.newline or arguments.keys:
        return data, False
    if data.endswith(b"\n"):
        return data.removesuffix(b"\n"), True
    return data, bool(data) or not arguments.eof


async def _settled(agent: Agent, job_id: str, cursor: int, echo_bytes: int, wait_s: float) -> JobInfo:
    """Wait until there is output after `cursor` and then none for a moment; return how the job is then.

    A terminal's echo is no answer, unless the job waits for input again. Nor is output that came just before.
    """
    end = time.monotonic() + wait_s
    since = {job_id: cursor}
    while True:
        some = Wait(jobs=[job_id], until=[_ANY_OUTPUT], since=since, needs_input=True, timeout_s=_left(end))
        reply = await agent.daemon.call(some)
        if _is_over(reply):
            return reply.jobs[0]
        quiet = Wait(jobs=[job_id], until=[_SETTLED], needs_input=True, timeout_s=_left(end))
        reply = await agent.daemon.call(quiet)
        job = reply.jobs[0]
        if _is_over(reply) or not job.pty or job.output_bytes > cursor + echo_bytes or job.waiting_for_input:
            return job
        since = {job_id: max(job.output_bytes, cursor)}


def _is_over(reply: WaitReply) -> bool:
    return reply.timed_out or not reply.fired or reply.fired[0].condition in ("exit", "needs_input")


def _left(end: float) -> float:
    return max(0.0, end - time.monotonic())
