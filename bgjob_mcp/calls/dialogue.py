"""interact: write to a job's standard input and return what it says to that."""

import time

from bgjob_mcp.agent import Agent
from bgjob_mcp.arguments import MAX_EXECUTE_WAIT_S, Interact
from bgjob_mcp.calls.answer import Answer, Progress
from bgjob_mcp.calls.compose import about
from bgjob_mcp.calls.jobs import encoded, job_facts
from bgjob_mcp.calls.reading import LONG_BYTES, read
from bgjobd.protocol import Condition, Send, Wait

__all__ = ["interact"]

# Output that comes in answer to a line comes in one go; a pause of this length says that it was all.
_SETTLED_S = 0.15
_SEND_TIMEOUT_S = 10.0
_ANY_OUTPUT = Condition(pattern="")


async def interact(agent: Agent, arguments: Interact, progress: Progress | None) -> Answer:
    """Send input, and answer when the output that follows settles, the job ends, or `wait_s` is over."""
    data = encoded("input", arguments.input)
    if arguments.newline and data and not data.endswith(b"\n"):
        data += b"\n"
    wait_s = min(arguments.wait_s, MAX_EXECUTE_WAIT_S)
    sent = await agent.daemon.call(
        Send(job=arguments.job_id, data=data, eof=arguments.eof, timeout_s=max(wait_s, _SEND_TIMEOUT_S))
    )
    agent.memory.answered(sent.job_id, sent.cursor)
    await _settle(agent, sent.job_id, sent.cursor, len(data) + data.count(b"\n"), wait_s)
    shown = await read(agent, sent.job_id, since=sent.cursor, most=lambda job: LONG_BYTES)
    said = []
    if wait_s < arguments.wait_s:
        said.append(f"wait_s was {arguments.wait_s:g}; the most is {wait_s:g}")
    return Answer(about(shown, said=said), job_facts(shown, said))


async def _settle(agent: Agent, job_id: str, cursor: int, echo_bytes: int, wait_s: float) -> None:
    """Wait until there is output after `cursor` and then none for a moment. A terminal's echo is no answer."""
    end = time.monotonic() + wait_s
    since = {job_id: cursor}
    reply = await agent.daemon.call(Wait(jobs=[job_id], until=[_ANY_OUTPUT], since=since, timeout_s=wait_s))
    while not reply.timed_out and reply.fired and reply.fired[0].condition != "exit":
        quiet = Condition(quiet_s=_SETTLED_S)
        reply = await agent.daemon.call(Wait(jobs=[job_id], until=[quiet], timeout_s=_left(end)))
        job = reply.jobs[0]
        if reply.timed_out or not job.pty or job.output_bytes > cursor + echo_bytes or job.waiting_for_input:
            return
        since = {job_id: max(job.output_bytes, cursor)}
        reply = await agent.daemon.call(Wait(jobs=[job_id], until=[_ANY_OUTPUT], since=since, timeout_s=_left(end)))


def _left(end: float) -> float:
    return max(0.0, end - time.monotonic())
