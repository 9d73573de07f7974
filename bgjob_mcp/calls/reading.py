"""Reading a job's output for an answer: as much of the log as is needed to fill the budget, and not more."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import anyio.to_thread
import msgspec

from bgjob_mcp.agent import Agent
from bgjob_mcp.arguments import DEFAULT_BYTES, StreamChoice
from bgjob_mcp.render.budget import cost, fit
from bgjob_mcp.render.pieces import Gap, Item, Piece
from bgjob_mcp.render.text import write_items
from bgjob_mcp.render.window import ACTIVE, View, view
from bgjobd.protocol import JobInfo, JobStatus, Keep, Output, OutputReply, Stream

__all__ = [
    "LONG_BYTES",
    "SHORT_BYTES",
    "Shown",
    "budget_for",
    "read",
    "show",
    "silent",
    "worth_of_news",
    "worth_of_start",
]

# Most logs fill the budget with the first window. Progress and repeats collapse, so where much of it did, look further.
_WINDOWS = (64 << 10, 512 << 10)
_FACTS_BYTES = 300  # what is said about each of several jobs beside its output
_IN_THREAD_FROM = 128 << 10  # resolving more than this takes long enough to hold up other calls

# What a model reads it pays for, in each turn from then on. How a job gets on, and that all went well, is said in a few
# lines that stand, with what is said about the job, within the first 2 KB of an answer; what failed, and what was asked
# for, needs more. The rest is a gap that says how to read it.
SHORT_BYTES = 1_500
LONG_BYTES = 6_000

STREAMS = {
    StreamChoice.BOTH: Stream.MERGED,
    StreamChoice.STDOUT: Stream.STDOUT,
    StreamChoice.STDERR: Stream.STDERR,
}


@dataclass(frozen=True, slots=True)
class Shown:
    """Output as an answer shows it. `text` has the streams as written; `stdout` and `stderr` have each by itself."""

    job: JobInfo
    cursor: int
    line_start: int  # where the last line begins if it is not finished, else the cursor
    omitted_bytes: int
    text: str
    stdout: str = ""
    stderr: str = ""
    since: int = 0  # the cursor where it begins


def budget_for(agent: Agent, max_bytes: int, share: int = 1) -> int:
    """Return how many bytes of output one form of an answer may have.

    A client that gets the output twice, as text and as a structure, gets half of it in each, so that the whole result
    stays within what clients take.
    """
    whole = DEFAULT_BYTES // (1 if agent.traits.text_only else 2)
    return min(max_bytes, max(whole // share - (_FACTS_BYTES if share > 1 else 0), 100))


def worth_of_news(job: JobInfo) -> int:
    """Return how many bytes are worth showing of a job that was waited for."""
    return SHORT_BYTES if job.status in ACTIVE or job.status is JobStatus.COMPLETED else LONG_BYTES


def worth_of_start(job: JobInfo) -> int:
    """Return how many bytes are worth showing of a job that was just started: when it is over, they are its result."""
    return SHORT_BYTES if job.status in ACTIVE else LONG_BYTES


async def read(
    agent: Agent,
    job: str,
    *,
    since: int = 0,
    until: int | None = None,
    stream: StreamChoice = StreamChoice.BOTH,
    most: Callable[[JobInfo], int] = lambda job: DEFAULT_BYTES,
    raw: bool = False,
    share: int = 1,
) -> Shown:
    """Return the output of `job` from `since` on within a budget, and remember that the client has seen it.

    Args:
        most: how many bytes are worth showing, by how the job is.
        share: how many jobs share the budget.

    Raises:
        BgjobError: what the daemon says.
    """
    request = Output(job=job, stream=STREAMS[stream], since=since, until=until, keep=Keep.HEAD_TAIL)
    for window in _WINDOWS:
        reply = await agent.daemon.call(msgspec.structs.replace(request, max_bytes=window))
        budget = budget_for(agent, most(reply.job), share)
        shown = await _in_thread_if_large(agent, reply, stream, budget, raw=raw)
        whole = not any(gap.reason == "budget" for gap in reply.gaps)
        if whole or cost(shown.text) > budget * 3 // 4:
            break
    if until is None:
        agent.memory.shown(reply.job.job_id, shown.cursor)
    return shown


def silent(job: JobInfo) -> Shown | None:
    """Return what there is to show of a job that ended without a word; None where the output has to be read.

    For `true`, `test -f x` and the like that saves a question to the daemon (docs/design/0011-the-resident-host.md).
    """
    return Shown(job, 0, 0, 0, "") if job.status not in ACTIVE and not job.output_bytes else None


async def _in_thread_if_large(
    agent: Agent, reply: OutputReply, stream: StreamChoice, budget: int, *, raw: bool
) -> Shown:
    if sum(len(run.data) for run in reply.runs) < _IN_THREAD_FROM:
        return show(agent, reply, stream, budget, raw=raw)
    return await anyio.to_thread.run_sync(lambda: show(agent, reply, stream, budget, raw=raw))


def show(
    agent: Agent,
    reply: OutputReply,
    stream: StreamChoice,
    budget: int,
    *,
    raw: bool = False,
    apart: Sequence[OutputReply] = (),
) -> Shown:
    """Return what a reply of the daemon holds, in the forms that the client gets, each within `budget` bytes.

    Args:
        apart: replies for stdout and stderr by themselves, of which `reply` was put together: lines are whole there.
    """
    whole = view(reply, STREAMS[stream], raw=raw, whole_lines=bool(apart))
    items = fit(whole.items, budget)
    text = _written(items, raw=raw)
    omitted = _omitted(reply, whole, items, stream)
    shown = Shown(reply.job, whole.cursor, _line_start(whole), omitted, text or "\n" * bool(items), since=reply.since)
    if agent.traits.text_only:
        return shown
    if stream is StreamChoice.STDOUT:
        return replace(shown, stdout=text)
    if stream is StreamChoice.STDERR:
        return replace(shown, stderr=text)
    sources = zip(apart or (reply, reply), (Stream.STDOUT, Stream.STDERR), strict=True)
    stdout, stderr = _apart([view(source, each, raw=raw) for source, each in sources], budget, raw=raw)
    return replace(shown, stdout=stdout, stderr=stderr)


def _apart(views: Sequence[View], budget: int, *, raw: bool) -> tuple[str, str]:
    """Return each stream by itself; what one does not need of the budget is the other's."""
    written = [_written(fit(each.items, budget // 2), raw=raw) if _has_text(each) else "" for each in views]
    for index, other in ((0, 1), (1, 0)):
        spare = budget - cost(written[other])
        if spare > budget // 2 and _has_text(views[index]):
            written[index] = _written(fit(views[index].items, spare), raw=raw)
    return written[0], written[1]


def _line_start(whole: View) -> int:
    last = whole.items[-1] if whole.items else None
    return last.start if isinstance(last, Piece) and not last.ended else whole.cursor


def _has_text(each: View) -> bool:
    return any(isinstance(item, Piece) for item in each.items)


def _written(items: Sequence[Item], *, raw: bool) -> str:
    text = write_items(items)
    # As mcp-background-job has it: lines, with newlines between them.
    return text if raw else text.removesuffix("\n")


def _omitted(reply: OutputReply, whole: View, items: Sequence[Item], stream: StreamChoice) -> int:
    """Return how many bytes up to the cursor are not shown."""
    if stream is StreamChoice.BOTH:
        return whole.cursor - reply.since - sum(item.size - item.missing for item in items if isinstance(item, Piece))
    return sum(item.size if isinstance(item, Gap) else item.missing for item in items)
