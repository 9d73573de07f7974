"""Keeping an answer within its budget: the head and the tail stay, what is between becomes one gap of exact size."""

from collections.abc import Sequence

import msgspec

from bgjob_mcp.render.pieces import Gap, GapReason, Item, Piece

__all__ = ["FOLD_FROM", "cost", "fit"]

FOLD_FROM = 4  # fewer identical lines than this are written out
_NOTE_BYTES = 100  # the longest note about a gap
_FOLD_BYTES = 50  # the longest note about a fold
_HEAD_SHARE = 3  # a third for how it began, the rest for how it is


def cost(text: str) -> int:
    """Return how many bytes `text` takes in a result: as JSON, because that is what is sent."""
    return len(msgspec.json.encode(text)) - 2


def fit(items: Sequence[Item], budget_bytes: int) -> list[Item]:
    """Return `items` if they fit into the budget, else the first and the last ones with a gap between."""
    if sum(len(item.text) for item in items if isinstance(item, Piece)) <= budget_bytes:
        total = sum(map(_cost, items))
        if total <= budget_bytes:
            return list(items)
    room = max(budget_bytes - _NOTE_BYTES, 0)
    first, used = 0, 0
    while first < len(items) and used + (needed := _cost(items[first])) <= room // _HEAD_SHARE:
        first, used = first + 1, used + needed
    last = len(items)
    while last > first and used + (needed := _cost(items[last - 1])) <= room:
        last, used = last - 1, used + needed
    tail = list(items[last:])
    if not tail and isinstance(final := items[-1], Piece):
        last -= 1
        tail = [final._replace(text=_clipped(final.text, room - used))]
    return [*items[:first], *_between(items[first:last]), *tail]


def _between(items: Sequence[Item]) -> list[Item]:
    if not items:
        return []
    size = sum(item.size for item in items)
    return [Gap(items[0].start, items[-1].end, size, GapReason.BUDGET)]


def _cost(item: Item) -> int:
    if isinstance(item, Gap):
        return _NOTE_BYTES
    written = 1 if item.times >= FOLD_FROM else item.times
    return (cost(item.text) + 2) * written + (_FOLD_BYTES if item.times >= FOLD_FROM else 0)


def _clipped(text: str, budget_bytes: int) -> str:
    """Return the head and the tail of one line that alone is over the budget, and how much of it is missing."""
    data = text.encode()
    escaped = max(1.0, cost(text) / max(len(data), 1))  # what JSON makes of one byte of it, on average
    room = max(int((budget_bytes - _NOTE_BYTES) / escaped), 0)
    head = data[: room // _HEAD_SHARE].decode("utf-8", "ignore")
    tail = data[len(data) - (room - room // _HEAD_SHARE) :].decode("utf-8", "ignore") if room else ""
    missing = len(data) - len(head.encode()) - len(tail.encode())
    return f"{head}[… {missing:,} bytes of this line not shown; raw shows them …]{tail}"
