"""From the daemon's reply to pieces: put runs together, cut at whole lines beside what is left out, resolve."""

from dataclasses import dataclass

from bgjob_mcp.render.pieces import Gap, GapReason, Item, Stretch
from bgjob_mcp.render.terminal import held_back, resolve, resolve_raw
from bgjobd import protocol
from bgjobd.protocol import JobStatus, OutputReply, Run, Stream

__all__ = ["ACTIVE", "View", "view"]

ACTIVE = frozenset({JobStatus.QUEUED, JobStatus.RUNNING})


@dataclass(frozen=True, slots=True)
class View:
    """A part of a job's output, ready to be fitted into a budget and written down."""

    items: list[Item]
    cursor: int  # where to go on reading

    @property
    def omitted_bytes(self) -> int:
        """How many bytes between the start and the cursor are not shown."""
        return sum(item.size for item in self.items if isinstance(item, Gap))


def view(reply: OutputReply, stream: Stream = Stream.MERGED, *, raw: bool = False, whole_lines: bool = False) -> View:
    """Return what `reply` holds of `stream`, as a terminal would show it, or with `raw` as it is.

    The cursor stays before a character or a terminal code of which the end is not there yet.

    Args:
        whole_lines: gaps do not cut lines; otherwise those that a budget made are widened to where lines begin and end.
    """
    parts = _parts(reply, stream)
    if not whole_lines:
        parts = _trimmed(parts)
    cursor = reply.cursor
    last = parts[-1] if parts else None
    if isinstance(last, Stretch) and reply.job.status in ACTIVE and reply.cursor == reply.end:
        size = len(last.data) - held_back(last.data)
        if size < len(last.data):
            cursor = last.start(size)
            parts[-1:] = [last.cut(0, size)] if size else []
    items: list[Item] = []
    for part in parts:
        if isinstance(part, Gap):
            items.append(part)
        else:
            items += resolve_raw(part) if raw else resolve(part)
    return View(items, cursor)


def _parts(reply: OutputReply, stream: Stream) -> list[Stretch | Gap]:
    """Put the runs of one stream, or of both, together between the gaps."""
    gaps = [_gap(gap) for gap in reply.gaps if gap.end > gap.start]
    parts: list[Stretch | Gap] = []
    together: list[tuple[int, bytes]] = []

    def close() -> None:
        if together:
            parts.append(Stretch(together))
            together.clear()

    for run in sorted((run for run in reply.runs if _belongs(run, stream) and run.data), key=lambda run: run.offset):
        while gaps and gaps[0].start <= run.offset:
            close()
            parts.append(gaps.pop(0))
        together.append((run.offset, run.data))
    close()
    return parts + gaps


def _gap(gap: protocol.Gap) -> Gap:
    size = gap.end - gap.start if gap.stream_bytes is None else gap.stream_bytes
    return Gap(gap.start, gap.end, size, GapReason.BUDGET if gap.reason == "budget" else GapReason.DROPPED)


def _belongs(run: Run, stream: Stream) -> bool:
    """Whether a run is part of what was asked for. What a job wrote to one pipe or a terminal counts as stdout."""
    if stream is Stream.MERGED:
        return True
    return (run.stream is Stream.STDERR) == (stream is Stream.STDERR)


def _trimmed(parts: list[Stretch | Gap]) -> list[Stretch | Gap]:
    """Widen the gaps that a budget made, so that only whole lines stand beside them."""
    for index, gap in enumerate(parts):
        if not isinstance(gap, Gap) or gap.reason is not GapReason.BUDGET:
            continue
        start, end, size = gap.start, gap.end, gap.size
        before = parts[index - 1] if index else None
        if isinstance(before, Stretch) and (keep := before.data.rfind(b"\n") + 1) < len(before.data) and keep:
            start, size = before.start(keep), size + len(before.data) - keep
            parts[index - 1] = before.cut(0, keep)
        after = parts[index + 1] if index + 1 < len(parts) else None
        if isinstance(after, Stretch) and 0 < (skip := after.data.find(b"\n") + 1) < len(after.data):
            end, size = after.end(skip), size + skip
            parts[index + 1] = after.cut(skip, len(after.data))
        parts[index] = Gap(start, end, size, GapReason.BUDGET)
    return parts
