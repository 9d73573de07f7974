"""output, tail and search."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from bgjob_mcp.agent import Agent
from bgjob_mcp.arguments import DEFAULT_BYTES, MIN_BYTES, Output, Search, StreamChoice, Tail
from bgjob_mcp.calls.answer import Answer, Progress
from bgjob_mcp.calls.compose import about
from bgjob_mcp.calls.jobs import job_facts
from bgjob_mcp.calls.reading import STREAMS, budget_for, read, show
from bgjob_mcp.calls.screen import screen
from bgjob_mcp.render.budget import cost
from bgjob_mcp.render.facts import job_words, status_words
from bgjob_mcp.render.pieces import Stretch
from bgjob_mcp.render.terminal import resolve
from bgjob_mcp.render.text import fenced, write_items
from bgjobd import protocol
from bgjobd.protocol import JobInfo, Match, OutputReply, SearchReply, Stream

__all__ = ["output", "search", "tail"]

_LAST_CURSOR = (1 << 63) - 1  # no output is that long
_CONTEXT_BYTES = 200  # of a line that does not match
_SENT_BYTES = 4 << 10  # what the daemon sends of a line at most
_LINE_CUT = "[… {:,} bytes of this line …]"
_TAIL_BYTES = 256 << 10  # raw; what is shown of it has the budget of every answer


async def output(agent: Agent, arguments: Output, progress: Progress | None) -> Answer:
    """Return the output from a cursor on, within a budget; or the screen."""
    if arguments.screen:
        return await screen(agent, arguments)
    max_bytes = max(arguments.max_bytes, MIN_BYTES)
    shown = await read(
        agent,
        arguments.job_id,
        since=min(arguments.since, _LAST_CURSOR),
        until=None if arguments.until is None else min(arguments.until, _LAST_CURSOR),
        stream=arguments.stream,
        most=lambda job: max_bytes,
        raw=arguments.raw,
    )
    if arguments.until is None:
        agent.memory.answered(shown.job.job_id, shown.line_start)
    said = list(_clamped(agent, arguments, shown.job))
    return Answer(about(shown, said=said, stream=arguments.stream), job_facts(shown, said))


def _clamped(agent: Agent, arguments: Output, job: JobInfo) -> Iterator[str]:
    """Say which arguments could not be taken as they were."""
    if arguments.since > job.output_bytes:
        yield f"since was {arguments.since}; the output ends at {job.output_bytes}"
    most = budget_for(agent, DEFAULT_BYTES)
    if arguments.max_bytes < MIN_BYTES:
        yield f"max_bytes was {arguments.max_bytes}; the least is {MIN_BYTES}"
    elif most < arguments.max_bytes != DEFAULT_BYTES:
        yield f"max_bytes was {arguments.max_bytes}; the most is {most}"


async def tail(agent: Agent, arguments: Tail, progress: Progress | None) -> Answer:
    """Return the last lines; a client that gets the streams apart gets that many of each."""
    budget = budget_for(agent, DEFAULT_BYTES)
    reply = await _last_lines(agent, arguments, STREAMS[arguments.stream])
    one_stream = arguments.stream is not StreamChoice.BOTH or reply.job.merge_stderr or reply.job.pty
    if one_stream or agent.traits.text_only or reply.since == 0:
        shown = show(agent, reply, arguments.stream, budget, raw=arguments.raw)
    else:
        # As mcp-background-job does.
        apart = [await _last_lines(agent, arguments, stream) for stream in (Stream.STDOUT, Stream.STDERR)]
        shown = show(agent, _together(apart), arguments.stream, budget, raw=arguments.raw, apart=apart)
    agent.memory.shown(reply.job.job_id, shown.cursor)
    agent.memory.answered(reply.job.job_id, shown.line_start)
    return Answer(about(shown, stream=arguments.stream), job_facts(shown))


async def _last_lines(agent: Agent, arguments: Tail, stream: Stream) -> OutputReply:
    request = protocol.Tail(job=arguments.job_id, lines=arguments.lines, stream=stream, max_bytes=_TAIL_BYTES)
    return await agent.daemon.call(request)


def _together(apart: Sequence[OutputReply]) -> OutputReply:
    """Return the lines of both streams in the order written, with the gaps between them."""
    runs = sorted((run for reply in apart for run in reply.runs), key=lambda run: run.offset)
    gaps = [gap for reply in apart for gap in reply.gaps if gap.reason != "budget"]
    for before, after in pairwise(runs):
        end = before.offset + len(before.data)
        if end < after.offset and not any(gap.start <= end < gap.end for gap in gaps):
            gaps.append(protocol.Gap(start=end, end=after.offset, reason="budget"))
    gaps.sort(key=lambda gap: gap.start)
    last = apart[-1]
    since = runs[0].offset if runs else last.since
    cursor = min(reply.cursor for reply in apart)
    return OutputReply(job=last.job, runs=runs, gaps=gaps, since=since, cursor=cursor, end=last.end)


async def search(agent: Agent, arguments: Search, progress: Progress | None) -> Answer:
    """Find lines of the output."""
    request = protocol.Search(
        job=arguments.job_id,
        pattern=arguments.pattern,
        ignore_case=arguments.ignore_case,
        context=arguments.context,
        limit=arguments.limit,
    )
    reply = await agent.daemon.call(request)
    matches = _once(reply.matches)
    blocks = [_block(match) for match in matches]
    if arguments.context:
        blocks[1:] = [_apart(*pair) + block for pair, block in zip(pairwise(matches), blocks[1:], strict=True)]
    count = _fitting(blocks, budget_for(agent, DEFAULT_BYTES))
    found = f"{reply.total:,} {'line matches' if reply.total == 1 else 'lines match'} {arguments.pattern!r}"
    if count < reply.total:
        found += f", the first {count}"
    lines = [f"{found} · {reply.searched_bytes:,} bytes searched · {_which(reply.job)}"]
    lines += [f"note: {gap.end - gap.start:,} bytes are no longer kept and were not searched" for gap in reply.gaps]
    if blocks:
        lines.append("line number, cursor: line")
        lines.append(fenced("matches", "\n".join(blocks[:count])))
    return Answer("\n".join(lines), _structure(reply, matches[:count]))


def _once(matches: Sequence[Match]) -> list[Match]:
    """Return the matches with each line of context beside one of them only, and none that is a match itself."""
    result: list[Match] = []
    shown = 0  # number of the last line so far
    for index, match in enumerate(matches):
        number = match.line_number
        room = matches[index + 1].line_number - number - 1 if index + 1 < len(matches) else len(match.after)
        before = match.before[max(0, len(match.before) - (number - shown - 1)) :]
        result.append(msgspec.structs.replace(match, before=before, after=match.after[:room]))
        shown = number + min(room, len(match.after))
    return result


def _apart(first: Match, second: Match) -> str:
    """Return what goes between two matches: a mark when there are lines between that are not shown."""
    ends = first.line_number + len(first.after)
    return "--\n" if second.line_number - len(second.before) > ends + 1 else ""


def _which(job: JobInfo) -> str:
    return f"{job_words(job, whole_id=False)} · {status_words(job)}"


def _block(match: Match) -> str:
    """Return a match with what stands around it; the matching line has its number and cursor."""
    before = [f"  {_around(line)}" for line in match.before]
    after = [f"  {_around(line)}" for line in match.after]
    return "\n".join([*before, f"{match.line_number}, {match.cursor}: {_matching(match)}", *after])


def _matching(match: Match) -> str:
    """Return the line that matches; of a long one the daemon sends the part around the match."""
    after = match.line_bytes - match.column - len(match.line)
    before = _LINE_CUT.format(match.column) if match.column else ""
    return f"{before}{_plain(match.line)}{_LINE_CUT.format(after) if after > 0 else ''}"


def _around(line: bytes) -> str:
    """Return a line beside one that matches: its beginning. How long it is, is not known of one of 4 KiB."""
    if len(line) <= _CONTEXT_BYTES:
        return _plain(line)
    missing = len(line) - _CONTEXT_BYTES
    at_least = "at least " if len(line) == _SENT_BYTES else ""
    return f"{_plain(line[:_CONTEXT_BYTES])}[… {at_least}{missing:,} bytes of this line …]"


def _plain(line: bytes) -> str:
    """Return one line as a terminal would show it."""
    return write_items(resolve(Stretch([(0, line)]))) if line else ""


def _fitting(blocks: list[str], budget: int) -> int:
    used = 0
    for index, block in enumerate(blocks):
        used += cost(block) + 2
        if used > budget:
            return index
    return len(blocks)


def _structure(reply: SearchReply, matches: Sequence[Match]) -> dict[str, Any]:
    shown = [
        {
            "line_number": match.line_number,
            "cursor": match.cursor,
            "line": _matching(match),
            **({"before": [_around(line) for line in match.before]} if match.before else {}),
            **({"after": [_around(line) for line in match.after]} if match.after else {}),
        }
        for match in matches
    ]
    return {
        "job_id": reply.job.job_id,
        "status": reply.job.status.value,
        "total": reply.total,
        "shown": len(shown),
        "searched_bytes": reply.searched_bytes,
        "matches": shown,
    }
