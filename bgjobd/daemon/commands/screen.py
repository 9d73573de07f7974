"""screen: a job's output as its terminal shows it."""

from functools import partial

import anyio
import anyio.to_thread

from bgjobd.daemon.commands.logs import find_output
from bgjobd.daemon.commands.table import Services
from bgjobd.daemon.job import ActiveJob
from bgjobd.daemon.listener import Connection
from bgjobd.daemon.runners import number
from bgjobd.errors import BgjobError
from bgjobd.protocol import JobInfo, Screen, ScreenReply
from bgjobd.runner import control

__all__ = ["screen", "wants_application_cursor"]

_ROWS, _COLUMNS = 24, 80  # of a job without a terminal
# Drawing holds the interpreter's lock for much of its time: one at a time leaves the rest of it to everybody else.
_limiter = anyio.CapacityLimiter(1)


async def screen(services: Services, connection: Connection, request: Screen) -> ScreenReply:
    """Draw the end of the output."""
    from bgjobd.model.picture import paint  # brings pyte: 40 ms and 3 MiB, only for those who ask for a screen
    from bgjobd.store.screen import draw_log

    job, log_dir = find_output(services, request.job)
    rows, columns = await _size(services, job)
    is_terminal = job.spec.pty if isinstance(job, ActiveJob) else job.pty
    read = partial(draw_log, log_dir, rows, columns, is_terminal=is_terminal)
    shown = await anyio.to_thread.run_sync(read, limiter=_limiter)
    terminal = shown.drawn.terminal
    grid = terminal.grid
    return ScreenReply(
        job=services.supervisor.info(job) if isinstance(job, ActiveJob) else job,
        rows=grid.lines,
        columns=grid.columns,
        lines=grid.text(),
        caret_row=grid.cursor.y,
        caret_column=min(grid.cursor.x, grid.columns - 1),
        caret_visible=not grid.cursor.hidden,
        alternate=terminal.is_alternate,
        title=grid.title,
        cursor=shown.cursor,
        paint=paint(terminal) if request.paint else b"",
    )


async def wants_application_cursor(services: Services, job: ActiveJob) -> bool:
    """Return whether the program on a job's terminal has asked for application cursor keys (DECCKM)."""
    from bgjobd.store.screen import draw_log

    rows, columns = job.spec.rows, job.spec.columns  # which has nothing to do with modes
    read = partial(draw_log, job.log_dir, rows, columns, is_terminal=True)
    return (await anyio.to_thread.run_sync(read, limiter=_limiter)).drawn.application_cursor


async def _size(services: Services, job: ActiveJob | JobInfo) -> tuple[int, int]:
    """Return rows and columns: of the terminal as it is now, else as it was in the beginning."""
    if isinstance(job, JobInfo) or not job.spec.pty:
        return _ROWS, _COLUMNS
    if job.has_runner:
        try:
            status = await (await services.supervisor.link(job)).request(control.STATUS)
        except BgjobError:
            status = {}  # it has just ended
        if number(status, "rows") and number(status, "columns"):
            return number(status, "rows"), number(status, "columns")
    return job.spec.rows, job.spec.columns
