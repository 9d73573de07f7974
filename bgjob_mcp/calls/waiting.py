"""wait: one call that lasts until something happens, instead of many that ask whether it has."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import anyio

from bgjob_mcp.agent import Agent, Seen
from bgjob_mcp.arguments import Wait
from bgjob_mcp.calls.answer import Answer, Progress
from bgjob_mcp.calls.asking import asking_of
from bgjob_mcp.calls.compose import about
from bgjob_mcp.calls.jobs import job_facts
from bgjob_mcp.calls.reading import Shown, read, worth_of_news
from bgjob_mcp.render.facts import duration, quoted, short_id, status_words
from bgjob_mcp.render.pieces import Stretch
from bgjob_mcp.render.terminal import resolve
from bgjob_mcp.render.text import write_items
from bgjob_mcp.render.window import ACTIVE
from bgjobd import protocol
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.protocol import Condition, Fired, JobInfo, Search, Status, WaitReply

__all__ = ["Waited", "answer", "conditions", "prepare", "wait"]

_PROGRESS_EVERY_S = 1.0
_MATCH_BYTES = 500


async def wait(agent: Agent, arguments: Wait, progress: Progress | None) -> Answer:
    """Wait until a condition holds or the time is up, and answer with what is new."""
    limit_s = agent.traits.max_wait_s
    timeout_s = min(arguments.timeout_s if arguments.timeout_s is not None else limit_s, limit_s)
    waited = await prepare(agent, arguments, timeout_s)
    started = time.monotonic()
    reply = await _with_progress(agent, waited.request, progress, timeout_s)
    said = _clamped(arguments, limit_s)
    return await answer(agent, waited, reply, said, time.monotonic() - started)


@dataclass(frozen=True, slots=True)
class Waited:
    """What is waited for, and what the client had seen when it began to wait."""

    request: protocol.Wait
    seen: dict[str, Seen]  # by job id
    jobs: Sequence[JobInfo] = ()  # how they were then


async def prepare(agent: Agent, arguments: Wait, timeout_s: float | None) -> Waited:
    """Return the wait that the arguments mean for this client.

    Raises:
        BgjobError: an unknown job, or a condition that is none.
    """
    until = conditions(arguments.until)
    jobs = (await agent.daemon.call(Status(jobs=arguments.job_ids))).jobs
    seen = {job.job_id: agent.memory.seen(job.job_id) for job in jobs}
    since = {job_id: each.unanswered for job_id, each in seen.items()}
    request = protocol.Wait(
        jobs=list(since),
        until=until,
        any=arguments.any,
        timeout_s=timeout_s,
        since=since,
        needs_input=arguments.needs_input,
        input_told={job_id: each.input_told for job_id, each in seen.items() if each.input_told >= 0},
    )
    return Waited(request, seen, jobs)


def conditions(until: str) -> list[Condition]:
    """Return what `until` means.

    Raises:
        BgjobError: INVALID_ARGUMENT for a port or a duration that is none.
    """
    kind, _, value = until.partition(":")
    value = value.strip()
    if until in ("", "exit"):
        return []
    if kind == "port":
        if not value.isdecimal() or not 1 <= int(value) <= 65535:
            raise _bad_until(until, "port: takes a number from 1 to 65535, e.g. port:3000")
        return [Condition(port=int(value))]
    if kind == "quiet":
        try:
            quiet_s = float(value.removesuffix("s"))
        except ValueError:
            quiet_s = 0.0
        if not 0 < quiet_s < float("inf"):
            raise _bad_until(until, "quiet: takes a number of seconds, e.g. quiet:5")
        return [Condition(quiet_s=quiet_s)]
    return [Condition(pattern=until)]


def _bad_until(until: str, accepted: str) -> BgjobError:
    return BgjobError(
        ErrorCode.INVALID_ARGUMENT,
        f"cannot wait until {until!r}: {accepted}",
        "To search output for this text, write it as a regular expression, e.g. (?:port):x.",
    )


def _clamped(arguments: Wait, limit_s: float) -> list[str]:
    if arguments.timeout_s is None or arguments.timeout_s <= limit_s:
        return []
    return [f"timeout_s was {arguments.timeout_s:g}; clamped to {limit_s:g}, what one call of this client may last"]


async def _with_progress(
    agent: Agent, request: protocol.Wait, progress: Progress | None, timeout_s: float
) -> WaitReply:
    """Wait, and meanwhile report once a second to a client that asked for it."""
    if progress is None:
        return await agent.daemon.call(request)
    started = time.monotonic()
    outcome: list[WaitReply | BgjobError] = []

    async def report() -> None:
        while True:
            await anyio.sleep(_PROGRESS_EVERY_S)  # noqa: TID251  # what clients ask for: a sign of life now and then
            try:
                jobs = (await agent.daemon.call(Status(jobs=request.jobs))).jobs
            except BgjobError:
                return  # what is wrong with the daemon is the wait's to say
            how = "; ".join(f"{short_id(job.job_id)} {status_words(job)}, {job.output_bytes:,} bytes" for job in jobs)
            await progress(time.monotonic() - started, timeout_s, how)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(report, name="progress of a wait")
        try:
            outcome.append(await agent.daemon.call(request))
        except BgjobError as error:  # raised below: a task group would put it into a group of exceptions
            outcome.append(error)
        tasks.cancel_scope.cancel()
    result = outcome[0]
    if isinstance(result, BgjobError):
        raise result
    return result


async def _matched_before(agent: Agent, job: JobInfo, pattern: str, since: int) -> list[str]:
    """Say where output that the client has already seen matches: it may be waiting for what has happened."""
    found = await agent.daemon.call(Search(job=job.job_id, pattern=pattern, limit=1))
    if not found.matches or found.matches[0].cursor >= since:
        return []
    match = found.matches[0]
    where = f"line {match.line_number} (cursor {match.cursor})"
    return [f"no new line matches, but {where} does, which you have already looked at"]


async def answer(
    agent: Agent, waited: Waited, reply: WaitReply, said: list[str], waited_s: float, *, as_of_end: bool = False
) -> Answer:
    """Say what ended a wait, and show the output that is new since the client's last look.

    Args:
        as_of_end: leave out what has happened since the wait ended, so that asked again the answer is the same.
    """
    until = waited.request.until
    fired = {each.job_id: each for each in reply.fired}
    texts: list[str] = []
    parts: list[dict[str, Any]] = []
    for index, job in enumerate(reply.jobs):
        before = waited.seen[job.job_id].cursor
        until_cursor = max(job.output_bytes, before) if as_of_end else None
        shown = await read(
            agent, job.job_id, since=before, until=until_cursor, most=worth_of_news, share=len(reply.jobs)
        )
        if as_of_end:
            agent.memory.shown(job.job_id, shown.cursor)
            shown = replace(shown, job=job)
        shown = asking_of(agent, shown, job)
        event = fired.get(job.job_id)
        agent.memory.answered(job.job_id, _answered(event, shown))
        notes = [*(said if index == 0 else []), *_known(event, before)]
        if until and until[0].pattern is not None and (event is None or event.condition == "exit"):
            notes += await _matched_before(agent, job, until[0].pattern, waited.request.since[job.job_id])
        first = _event_line(event, shown, waited_s, until)
        next_step = _next(event, shown.job)
        texts.append(about(shown, first, notes, next_step))
        condition = event.condition if event else "timeout" if reply.timed_out else None
        parts.append({"condition": condition, **_match(event), **job_facts(shown, notes, next_step)})
    structure: dict[str, Any] = parts[0] if len(parts) == 1 else {"jobs": parts}
    return Answer("\n\n".join(texts), {"timed_out": reply.timed_out, **structure})


def _answered(event: Fired | None, shown: Shown) -> int:
    """Return where the next wait for a line begins to look: after the line that matched, or after what was shown."""
    if event is not None and event.condition == "pattern":
        return event.cursor + max(len(event.line), 1)
    return shown.line_start


def _known(event: Fired | None, before: int) -> list[str]:
    """Say that what was waited for had already been shown, so that it is not taken for news."""
    if event is None or event.condition != "pattern" or event.cursor + len(event.line) > before:
        return []
    return ["the line was in output that you have already seen; call wait again to wait for the next one"]


def _event_line(event: Fired | None, shown: Shown, waited_s: float, until: Sequence[Condition]) -> str:
    """Return what ended the wait for one job; "" where the status, which follows, says it."""
    job = shown.job
    if event is None:
        return f"still {job.status.value} after {duration(waited_s)} of waiting"
    match event.condition:
        case "exit" if job.status in ACTIVE:
            return "the job's main process has ended"
        case "exit":
            return "the job ended before that" if until else ""
        case "pattern":
            line = _match(event)["match"]
            return f"a line matches, at cursor {event.cursor}" + ("" if line in shown.text else f": {quoted(line)}")
        case "port":
            return f"the job listens on port {until[0].port}"
        case "quiet":
            return f"the job was quiet for {duration(until[0].quiet_s or 0)}"
        case "needs_input":
            return "the job waits for somebody to type, and may do nothing until then"
        case _:
            return event.condition.replace("_", " ")


def _match(event: Fired | None) -> dict[str, Any]:
    if event is None or event.condition != "pattern":
        return {}
    line = write_items(resolve(Stretch([(event.cursor, event.line[:_MATCH_BYTES])]))) if event.line else ""
    return {"match_cursor": event.cursor, "match": line}


def _next(event: Fired | None, job: JobInfo) -> str:
    return "call wait again, or go on with other work" if job.status in ACTIVE and event is None else ""
