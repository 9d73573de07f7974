"""A kill's receipt in words: who was signalled, how each process ended, and who survived. Pure."""

from collections.abc import Iterator

from bgjob_cli.quantities import format_count, format_duration
from bgjob_cli.terminal_text import printable
from bgjobd.protocol import ProcessEnd, Receipt

__all__ = ["receipt_lines"]

_MOST_NAMED = 8  # a fork bomb's receipt stays readable; --json has all


def receipt_lines(receipt: Receipt) -> Iterator[str]:
    """Return what a kill did, without the job's name: survivors have a line of their own each."""
    if receipt.processes or not receipt.note:
        yield _summary(receipt)
    for survivor in receipt.survivors:
        yield f"survived: {_process(survivor)}"
    if receipt.note:
        yield printable(receipt.note)


def _summary(receipt: Receipt) -> str:
    """Return the first line: `killed 3 processes in 12ms: 4242 sh (SIGTERM), …`."""
    word = "signalled" if receipt.status == "signalled" else "killed"
    head = f"{word} {format_count(len(receipt.processes), 'process', 'processes')}"
    if word == "killed":
        head += f" in {format_duration(receipt.duration_s)}"
    named = [_process(process) for process in receipt.processes[:_MOST_NAMED]]
    more = len(receipt.processes) - len(named)
    if more:
        named.append(f"{more} more")
    return f"{head}: {', '.join(named)}" if named else head


def _process(process: ProcessEnd) -> str:
    """Return `4242 sleep (SIGTERM, SIGKILL)`; how it ended is added where the signals do not say."""
    notes = list(process.signals)
    if process.ended and process.ended not in notes:
        notes.append(process.ended)
    return f"{process.pid} {printable(process.name)}" + (f" ({', '.join(notes)})" if notes else "")
