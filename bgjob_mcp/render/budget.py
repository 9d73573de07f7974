"""Keeping an answer within its budget: the head and the tail stay, what is between becomes one gap of exact size."""

from collections import deque
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
    """Return `items` if they fit into the budget, else the first and the last ones with a gap between.

    Lines stay whole, unless one is so long that a side would stay half empty: then a part of it is shown.
    """
    if sum(len(item.text) for item in items if isinstance(item, Piece)) <= budget_bytes:
        total = sum(map(_cost, items))
        if total <= budget_bytes:
            return list(items)
    room = max(budget_bytes - _NOTE_BYTES, 0)
    head: list[Item] = []
    tail: list[Item] = []
    middle = deque(items)
    head_room = room // _HEAD_SHARE
    while middle and (needed := _cost(middle[0])) <= head_room:
        head.append(middle.popleft())
        head_room -= needed
    if middle and head_room > room // _HEAD_SHARE // 2:
        _take_beginning(middle, head, head_room)
    room -= sum(map(_cost, head))
    tail_room = room
    while middle and (needed := _cost(middle[-1])) <= tail_room:
        tail.append(middle.pop())
        tail_room -= needed
    if middle and tail_room > room // 2:
        _take_end(middle, tail, tail_room)
    return [*head, *_between(middle), *reversed(tail)]


def _take_beginning(middle: deque[Item], head: list[Item], room: int) -> None:
    """Show the beginning of the next line, where it is known which bytes that is."""
    piece = middle[0]
    if not isinstance(piece, Piece) or not _is_verbatim(piece):
        return
    text = _clipped(piece.text, room)
    size = len(text.encode())
    if not text or size >= piece.size - piece.ended:
        return
    cursor = piece.start + size
    head.append(Piece(piece.start, cursor, size, text, ended=False))
    middle[0] = piece._replace(start=cursor, size=piece.size - size, text=piece.text[len(text) :])


def _take_end(middle: deque[Item], tail: list[Item], room: int) -> None:
    """Show the end of the line before.

    Of a line that is shown in another way than it was written nobody can say which bytes a part of it is: if nothing
    would be shown otherwise, it is one item still, with the middle of its text left out.
    """
    piece = middle[-1]
    if not isinstance(piece, Piece):
        return
    if not _is_verbatim(piece):
        if not tail:
            tail.append(_without_middle(piece, room))
            middle.pop()
        return
    text = _clipped(piece.text, room, end=True)
    size = len(text.encode()) + piece.ended
    if not text or size >= piece.size:
        return
    cursor = piece.end - size
    tail.append(Piece(cursor, piece.end, size, text, piece.ended))
    middle[-1] = Piece(piece.start, cursor, piece.size - size, piece.text[: -len(text)], ended=False)


def _is_verbatim(piece: Piece) -> bool:
    """Whether the text is what was written, byte for byte and without anything between, so that it can be cut."""
    size = len(piece.text.encode()) + piece.ended
    return piece.times == 1 and size == piece.size == piece.end - piece.start and "\ufffd" not in piece.text


def _without_middle(piece: Piece, room: int) -> Piece:
    """Return one line that alone is over the budget, with its head and its tail and how much of it is missing."""
    head = _clipped(piece.text, (room - _NOTE_BYTES) // _HEAD_SHARE)
    tail = _clipped(piece.text[len(head) :], room - _NOTE_BYTES - cost(head), end=True)
    written = len(piece.text.encode())
    missing = written - len(head.encode()) - len(tail.encode())
    times = piece.times
    if times < FOLD_FROM:  # each would be written out
        missing, times = missing + (times - 1) * (written + 1), 1
    note = f"[… {missing:,} bytes of this line not shown; output since={piece.start} until={piece.end} raw=true …]"
    return piece._replace(text=f"{head}{note}{tail}", missing=missing, times=times)


def _between(items: deque[Item]) -> list[Item]:
    if not items:
        return []
    size = sum(item.size for item in items)
    return [Gap(items[0].start, items[-1].end, size, GapReason.BUDGET)]


def _cost(item: Item) -> int:
    if isinstance(item, Gap):
        return _NOTE_BYTES
    written = 1 if item.times >= FOLD_FROM else item.times
    return (cost(item.text) + 2) * written + (_FOLD_BYTES if item.times >= FOLD_FROM else 0)


def _clipped(text: str, budget_bytes: int, *, end: bool = False) -> str:
    """Return as much of the beginning of `text`, or of its end, as fits into the budget, about; whole characters."""
    data = text.encode()
    escaped = max(1.0, cost(text) / max(len(data), 1))  # what JSON makes of one byte of it, on average
    room = max(int(budget_bytes / escaped), 0)
    part = data[max(len(data) - room, 0) :] if end else data[:room]
    return part.decode("utf-8", "ignore")
