"""The text of an answer about a job and its output: what matters first, the output last, fenced off."""

from collections.abc import Iterable

from bgjob_mcp.calls.reading import Shown
from bgjob_mcp.render.facts import headline, notes
from bgjob_mcp.render.text import fenced

__all__ = ["about", "output_part"]

# Clients that cut a result keep its first 2 KB: above this, the last lines are said first.
_LONG_OUTPUT = 1400
_EXCERPT = 700


def about(shown: Shown, first: str = "", said: Iterable[str] = (), next_step: str = "") -> str:
    """Return the whole text: status, notes, cursor, what to do next, output.

    Args:
        first: goes before the status, e.g. what a wait was ended by.
        said: more notes, e.g. a value that was clamped.
        next_step: what to call next, where that is worth saying.
    """
    lines = [line for line in (first, headline(shown.job)) if line]
    lines += [f"note: {note}" for note in (*notes(shown.job), *said)]
    lines.append(_position(shown))
    if next_step:
        lines.append(f"next: {next_step}")
    return "\n".join([*lines, output_part(shown)])


def output_part(shown: Shown) -> str:
    """Return the output, fenced; when it is long, its last lines before it."""
    if not shown.text:
        return "(no output)" if not shown.job.output_bytes else "(no new output)"
    whole = fenced("output", shown.text)
    if len(shown.text.encode()) <= _LONG_OUTPUT:
        return whole
    excerpt = shown.text.encode()[-_EXCERPT:].decode("utf-8", "ignore")
    return f"{fenced('last lines', excerpt[excerpt.find(chr(10)) + 1 :])}\n{whole}"


def _position(shown: Shown) -> str:
    omitted = f", {shown.omitted_bytes:,} bytes not shown" if shown.omitted_bytes else ""
    return f"cursor {shown.cursor}{omitted}"
