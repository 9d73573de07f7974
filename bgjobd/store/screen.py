"""Draws the end of a job's log as a screen. Blocking, and some tenths of a second of work at most: call it in a thread.

Must only be imported where a screen is asked for: it brings pyte, which costs the daemon some 3 MiB.
"""

from dataclasses import dataclass

from bgjobd.model.picture import WINDOW_BYTES, Drawn, draw
from bgjobd.store.logs import LogReader

__all__ = ["ScreenOfLog", "draw_log"]


@dataclass(frozen=True, slots=True)
class ScreenOfLog:
    """A drawn screen, and the cursor behind the output that is on it."""

    drawn: Drawn
    cursor: int


def draw_log(log_dir: str, rows: int, columns: int, *, is_terminal: bool) -> ScreenOfLog:
    """Return what a terminal of that size shows of a log.

    Args:
        log_dir: where the log is.
        rows: height of the terminal.
        columns: width of the terminal.
        is_terminal: whether the job wrote to a terminal, which turns each LF into CR LF, and not to a pipe.

    Raises:
        BgjobError: OUTPUT_DAMAGED, or STORAGE when the disk refuses.
    """
    reader = LogReader(log_dir)
    end = reader.end()
    part = reader.read(max(0, end - WINDOW_BYTES), max_bytes=WINDOW_BYTES, until=end)
    behind_gap = max((gap.end for gap in part.gaps), default=0)
    data = b"".join(run.data for run in part.runs if run.offset >= behind_gap)
    drawn = draw(data, rows, columns, newline_returns=not is_terminal)
    return ScreenOfLog(drawn, part.cursor - drawn.held_back)
