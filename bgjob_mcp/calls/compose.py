"""The text of an answer about a job and its output: what matters first, the output last, fenced off."""

from collections.abc import Iterable

from bgjob_mcp.calls.reading import Shown
from bgjob_mcp.render.facts import job_words, notes, status_words
from bgjob_mcp.render.text import fenced

__all__ = ["about"]

# Clients that cut a result keep its first 2 KB: when the output ends further on, its last lines are said first.
_FIRST_BYTES = 2000
_EXCERPT = 500


def about(
    shown: Shown, first: str = "", said: Iterable[str] = (), next_step: str = "", *, whole_id: bool = False
) -> str:
    """Return the whole text: status and cursor, notes, what to do next, output.

    Args:
        first: goes before the status, e.g. what a wait was ended by.
        said: more notes, e.g. a value that was clamped.
        next_step: what to call next, where that is worth saying.
        whole_id: give the job's id in full: the client does not know it yet.
    """
    lines = [line for line in (first, _position(shown, whole_id=whole_id)) if line]
    lines += [f"note: {note}" for note in (*notes(shown.job), *said)]
    if next_step:
        lines.append(f"next: {next_step}")
    before = "\n".join(lines)
    return f"{before}\n{_output_part(shown, len(before.encode()))}"


def _output_part(shown: Shown, before_bytes: int) -> str:
    """Return the output, fenced; when it is long, its last lines before it."""
    if not shown.text:
        return "(no output)" if not shown.job.output_bytes else "(no new output)"
    whole = fenced("output", shown.text)
    if before_bytes + len(whole.encode()) <= _FIRST_BYTES:
        return whole
    excerpt = shown.text.encode()[-_EXCERPT:].decode("utf-8", "ignore")
    return f"{fenced('last lines', excerpt[excerpt.find(chr(10)) + 1 :])}\n{whole}"


def _position(shown: Shown, *, whole_id: bool) -> str:
    """Return the line about the job, and how far this answer goes in its output."""
    job = shown.job
    line = f"{status_words(job)} · {job_words(job, whole_id=whole_id)} · cursor {shown.cursor}"
    if job.output_bytes != shown.cursor:
        line += f" of {job.output_bytes}"
    return f"{line}, {shown.omitted_bytes:,} bytes not shown" if shown.omitted_bytes else line
