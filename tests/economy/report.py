"""What was counted, as the table of docs/reference/agent-economy.md."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Count", "Side", "keep", "markdown"]

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "agent-economy.md"
_BEGIN, _END = "<!-- begin: made by make economy -->", "<!-- end -->"


@dataclass(frozen=True, slots=True)
class Count:
    """What one task took."""

    task: str
    calls: int
    written_bytes: int
    read_bytes: int
    text_bytes: int
    known: int  # of the facts, how many the agent was shown
    facts: int


@dataclass(frozen=True, slots=True)
class Side:
    """What all tasks took with one server."""

    server: str
    opening_bytes: int
    counts: tuple[Count, ...]

    @property
    def total(self) -> Count:
        """The sum over the tasks."""
        names = ("calls", "written_bytes", "read_bytes", "text_bytes", "known", "facts")
        return Count("all six", **{name: sum(getattr(count, name) for count in self.counts) for name in names})


def markdown(sides: Sequence[Side]) -> str:
    """Return the table: for each thing that was counted a column of each server."""
    columns = ("calls", "written", "read", "known")
    head = ["task", *(f"{column}, {side.server}" for column in columns for side in sides)]
    counted = zip(*((*side.counts, side.total) for side in sides), strict=True)
    rows = [[counts[0].task, *_across([_cells(count) for count in counts])] for counts in counted]
    opening = ["before the first call", *_across([("", "", f"{side.opening_bytes:,}", "") for side in sides])]
    texts = " and ".join(f"{side.total.text_bytes:,} with {side.server}" for side in sides)
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows, opening)]
    return "\n".join([
        f"Counted on {time.strftime('%Y-%m-%d')}.",
        "",
        *lines,
        "",
        f"A client that shows its model the text of results alone reads {texts} in all six.",
    ])  # fmt: skip


def _across(cells: Sequence[tuple[str, ...]]) -> list[str]:
    return [cell for column in zip(*cells, strict=True) for cell in column]


def _cells(count: Count) -> tuple[str, str, str, str]:
    return str(count.calls), f"{count.written_bytes:,}", f"{count.read_bytes:,}", f"{count.known} of {count.facts}"


def keep(sides: Sequence[Side]) -> None:
    """Put the table into its page."""
    before, _, rest = PAGE.read_text().partition(_BEGIN)
    PAGE.write_text(f"{before}{_BEGIN}\n\n{markdown(sides)}\n\n{_END}{rest.partition(_END)[2]}")
