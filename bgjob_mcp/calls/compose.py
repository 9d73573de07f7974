"""The text of an answer about a job and its output: what matters first, the output last, fenced off."""

from collections.abc import Iterable

import msgspec

from bgjob_mcp.arguments import StreamChoice
from bgjob_mcp.calls.reading import Shown
from bgjob_mcp.render.facts import job_words, notes, status_words
from bgjob_mcp.render.text import fenced
from bgjobd.protocol import InputMode

__all__ = ["about"]

# Clients that cut a result keep its first 2 KB: when the output ends further on, its last lines are said first.
_FIRST_BYTES = 2000
_EXCERPT = 500


def about(
    shown: Shown,
    first: str = "",
    said: Iterable[str] = (),
    next_step: str = "",
    *,
    stream: StreamChoice = StreamChoice.BOTH,
    whole_id: bool = False,
) -> str:
    """Return the whole text: status and cursor, notes, what to do next, output.

    Args:
        first: goes before the status, e.g. what a wait was ended by.
        said: more notes, e.g. a value that was clamped.
        next_step: what to call next, where that is worth saying.
        stream: what was asked for.
        whole_id: give the job's id in full: the client does not know it yet.
    """
    job = shown.job
    if _shows_prompt(shown):  # the output says what for: a word is enough
        job = msgspec.structs.replace(job, waiting_for_input=None)
    lines = [line for line in (first, _position(shown, whole_id=whole_id)) if line]
    lines += [f"note: {note}" for note in (*notes(job), *said)]
    if next_step:
        lines.append(f"next: {next_step}")
    before = "\n".join(lines)
    return f"{before}\n{_output_part(shown, stream, len(before.encode()))}"


def _output_part(shown: Shown, stream: StreamChoice, before_bytes: int) -> str:
    """Return the output, fenced; when it is long, its last lines before it."""
    if not shown.text:
        new = "new " if shown.since else ""
        return f"(no {new}output)" if stream is StreamChoice.BOTH else f"(no {new}output on {stream.value})"
    whole = fenced("output", shown.text)
    if before_bytes + len(whole.encode()) <= _FIRST_BYTES:
        return whole
    excerpt = shown.text.encode()[-_EXCERPT:].decode("utf-8", "ignore")
    excerpt = excerpt[excerpt.find("\n", 0, -1) + 1 :]  # whole lines, unless all of it is one
    return f"{fenced('last lines', excerpt)}\n{whole}"


def _shows_prompt(shown: Shown) -> bool:
    """Whether the job waits for a line, and the output ends in its prompt."""
    job = shown.job
    is_line = bool(job.waiting_for_input) and job.input_mode in (None, InputMode.LINE)
    return is_line and bool(job.prompt) and shown.text.endswith(job.prompt or "")


def _position(shown: Shown, *, whole_id: bool) -> str:
    """Return the line about the job, and how far this answer goes in its output."""
    job = shown.job
    waits = ", waiting for input" if _shows_prompt(shown) else ""
    line = f"{status_words(job)}{waits} · {job_words(job, whole_id=whole_id)} · cursor {shown.cursor}"
    if job.output_bytes != shown.cursor:
        line += f" of {job.output_bytes}"
    return f"{line}, {shown.omitted_bytes:,} bytes not shown" if shown.omitted_bytes else line
