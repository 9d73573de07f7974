"""How large a job's terminal is when several windows show it: as large as fits into the smallest of them.

A window counts as long as its connection lives. When the last one goes, the size stays as it is.
"""

from collections.abc import Iterable

from bgjobd.daemon.job import ActiveJob
from bgjobd.daemon.listener import Connection
from bgjobd.daemon.runners import RunnerLink
from bgjobd.runner import control

__all__ = ["hold", "send_size"]


def hold(job: ActiveJob, connection: Connection, rows: int, columns: int) -> tuple[int, int]:
    """Count the window of a connection; return how large the terminal has to be now."""
    if connection not in job.windows:
        connection.at_end(lambda: _release(job, connection))
    job.windows[connection] = (rows, columns)
    return _smallest(job.windows.values())


def send_size(link: RunnerLink, rows: int, columns: int) -> None:
    """Tell a runner; it answers when it has done so."""
    link.send(control.RESIZE, control.pack_fields(("rows", rows), ("columns", columns)))


def _release(job: ActiveJob, connection: Connection) -> None:
    """The window is gone: the others may be larger."""
    job.windows.pop(connection, None)
    if job.windows and job.link is not None:
        send_size(job.link, *_smallest(job.windows.values()))


def _smallest(sizes: Iterable[tuple[int, int]]) -> tuple[int, int]:
    rows, columns = zip(*sizes, strict=True)
    return min(rows), min(columns)
