"""output with screen: what a job's terminal shows now, for programs whose output makes no sense line by line."""

from collections.abc import Sequence

from bgjob_mcp.agent import Agent
from bgjob_mcp.arguments import Output, StreamChoice
from bgjob_mcp.calls.answer import Answer
from bgjob_mcp.calls.asking import with_asking
from bgjob_mcp.calls.jobs import job_facts
from bgjob_mcp.calls.reading import Shown, budget_for
from bgjob_mcp.render.budget import cost
from bgjob_mcp.render.facts import headline, notes
from bgjob_mcp.render.text import fenced
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.protocol import JobStatus, Screen, ScreenReply

__all__ = ["screen"]


async def screen(agent: Agent, arguments: Output) -> Answer:
    """Return the screen, within the budget of every answer.

    Raises:
        BgjobError: INVALID_ARGUMENT for an argument that is about output and not about a screen; what the daemon says.
    """
    _check(arguments)
    reply = await agent.daemon.call(Screen(job=arguments.job_id))
    rows, missing = _fitting(reply.lines, budget_for(agent, arguments.max_bytes))
    said = [f"{missing} rows at the bottom are not shown: they are beyond the budget"] if missing else []
    shown = Shown(reply.job, reply.cursor, reply.cursor, 0, "\n".join(rows))
    if shown.job.status is JobStatus.RUNNING:
        shown = await with_asking(agent, shown)
    lines = [headline(shown.job), *(f"note: {note}" for note in (*notes(shown.job), *said)), _position(reply)]
    lines.append(fenced("screen", shown.text) if shown.text else "(the screen is empty)")
    return Answer("\n".join(lines), {**job_facts(shown, said), **_structure(reply, shown)})


def _check(arguments: Output) -> None:
    others = {
        "stream": arguments.stream is not StreamChoice.BOTH,
        "since": arguments.since,
        "until": arguments.until is not None,
        "raw": arguments.raw,
    }
    given = [name for name, is_given in others.items() if is_given]
    if given:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT,
            f"cannot use {' and '.join(given)} with screen: a screen is what the terminal shows now",
            "Leave screen out for the output itself.",
        )


def _fitting(lines: Sequence[str], budget: int) -> tuple[list[str], int]:
    """Return the rows down to the last one that shows something, as many as fit, and how many do not."""
    used = max((number for number, line in enumerate(lines, 1) if line), default=0)
    left = budget
    for number, line in enumerate(lines[:used]):
        left -= cost(line) + 2
        if left < 0:
            return list(lines[:number]), used - number
    return list(lines[:used]), 0


def _position(reply: ScreenReply) -> str:
    title = f", title {reply.title!r}" if reply.title else ""
    caret = f"caret in row {reply.caret_row + 1}, column {reply.caret_column + 1}"
    if not reply.caret_visible:
        caret = "no caret"
    return f"screen of {reply.rows} rows and {reply.columns} columns, {caret}{title}, cursor {reply.cursor}"


def _structure(reply: ScreenReply, shown: Shown) -> dict[str, object]:
    """Return what a screen has and output has not."""
    return {
        "screen": shown.text,
        "rows": reply.rows,
        "columns": reply.columns,
        "caret_row": reply.caret_row + 1,
        "caret_column": reply.caret_column + 1,
        **({"title": reply.title} if reply.title else {}),
    }
