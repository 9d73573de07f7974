"""The last line that a job wrote, for a person who wants to know what it is doing."""

from bgjob_cli.connection import Daemon
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.plain import plain_line
from bgjobd.protocol import JobInfo, Tail

__all__ = ["last_line"]

_LINES = 5  # the last one is often empty
_MOST_BYTES = 4096
_NOTHING_TO_SHOW = frozenset({ErrorCode.NO_SUCH_JOB, ErrorCode.OUTPUT_GONE, ErrorCode.OUTPUT_DAMAGED})


def last_line(daemon: Daemon, job: JobInfo) -> str:
    """Return the last line with something in it, as a terminal would show it; "" where there is none.

    Raises:
        BgjobError: as `Daemon.call`, but not when the job or its output is gone.
    """
    if not job.output_bytes:
        return ""
    try:
        reply = daemon.call(Tail(job=job.job_id, lines=_LINES, max_bytes=_MOST_BYTES, split=False))
    except BgjobError as error:
        if error.code in _NOTHING_TO_SHOW:
            return ""
        raise
    lines = b"".join(run.data for run in reply.runs).split(b"\n")
    return next((text for line in reversed(lines) if (text := plain_line(line).strip())), "")
