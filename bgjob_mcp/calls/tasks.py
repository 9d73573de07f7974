"""wait as a task: begun with one call, collected with another, perhaps through another server process.

The daemon keeps the task. What the client had seen when it began to wait goes with it, so that whoever collects the
task shows the same output as an ordinary wait would have.
"""

from datetime import datetime

import msgspec

from bgjob_mcp.agent import Agent, Seen
from bgjob_mcp.arguments import Wait
from bgjob_mcp.calls.answer import Answer
from bgjob_mcp.calls.waiting import Waited, answer, prepare
from bgjob_mcp.failures import explain
from bgjob_mcp.render.facts import short_id, status_words
from bgjob_mcp.render.window import ACTIVE
from bgjobd import protocol
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.protocol import ErrorBody, TaskCancel, TaskCreate, TaskGet, TaskInfo

__all__ = ["begin", "cancel", "collect", "find", "progress_of"]

_DAY_S = 86_400.0
_TTL_S = 7 * _DAY_S  # a training run takes days, and its agent may look for the result after a weekend
_LONGEST_S = 365 * _DAY_S


class _Context(msgspec.Struct, frozen=True):
    """What goes with a task through the daemon."""

    request: protocol.Wait
    seen: dict[str, tuple[int, int]]  # job id → what `Seen` holds


async def begin(agent: Agent, arguments: Wait) -> TaskInfo | None:
    """Begin a wait and return its task; None where there is nothing to wait for: every job has ended.

    A task may last as long as its jobs: what one call of the client may last does not matter.

    Raises:
        BgjobError: as for `wait`; LIMIT_EXCEEDED, STORAGE.
    """
    timeout_s = None if arguments.timeout_s is None else min(arguments.timeout_s, _LONGEST_S)
    waited = await prepare(agent, arguments, timeout_s)
    if all(job.status not in ACTIVE for job in waited.jobs):
        return None
    context = _Context(waited.request, {job_id: (seen.cursor, seen.unanswered) for job_id, seen in waited.seen.items()})
    request = TaskCreate(
        wait=waited.request, ttl_s=max(_TTL_S, (timeout_s or 0.0) + _DAY_S), context=msgspec.msgpack.encode(context)
    )
    return (await agent.daemon.call(request)).task


async def find(agent: Agent, task_id: str) -> TaskInfo | None:
    """Return a task; None for one that there is not, or that has expired."""
    return (await agent.daemon.call(TaskGet(task_id=task_id))).task


async def cancel(agent: Agent, task_id: str) -> TaskInfo | None:
    """End the wait of a task, never its jobs; return it, None as for `find`."""
    return (await agent.daemon.call(TaskCancel(task_id=task_id))).task


async def collect(agent: Agent, task: TaskInfo) -> Answer:
    """Return what a completed task has to say: the answer that `wait` would have given when it ended.

    Raises:
        BgjobError: the output cannot be read.
    """
    if task.result is None:
        return Answer(explain(_as_error(task.error or ErrorBody())), is_error=True)
    context = msgspec.msgpack.decode(task.context, type=_Context)
    seen = {job_id: Seen(cursor, unanswered) for job_id, (cursor, unanswered) in context.seen.items()}
    return await answer(agent, Waited(context.request, seen), task.result, [], _lasted_s(task), as_of_end=True)


def progress_of(task: TaskInfo) -> str:
    """Return how the jobs of a task are, in a line."""
    return "; ".join(f"{job.name or short_id(job.job_id)} {status_words(job)}" for job in task.jobs)


def _as_error(body: ErrorBody) -> BgjobError:
    try:
        code = ErrorCode(body.code)
    except ValueError:  # of a newer daemon
        code = ErrorCode.INTERNAL
    return BgjobError(code, body.message, body.hint, body.details)


def _lasted_s(task: TaskInfo) -> float:
    return (datetime.fromisoformat(task.updated) - datetime.fromisoformat(task.created)).total_seconds()
