"""Which ended jobs are too many, too old or too large to keep. Pure."""

from collections.abc import Iterable
from typing import NamedTuple


class Limits(NamedTuple):
    """What is kept; None is no limit."""

    keep_jobs: int | None
    keep_for_s: float | None
    total_bytes: int | None


class Ended(NamedTuple):
    """What retention looks at of one ended job."""

    job_id: str
    ended_ns: int
    kept_bytes: int


def beyond(limits: Limits, newest_first: Iterable[Ended], now_ns: int) -> list[str]:
    """Return the ids of the jobs to forget, oldest first.

    Args:
        limits: what is kept; a job goes when any of them is passed.
        newest_first: ended jobs in the order of their end, the newest first. The newest is kept whatever its size.
        now_ns: unix time. When the clock was set back, jobs look young and stay.
    """
    gone = []
    total_bytes = 0
    for position, job in enumerate(newest_first):
        total_bytes += job.kept_bytes
        too_many = limits.keep_jobs is not None and position >= limits.keep_jobs
        too_old = limits.keep_for_s is not None and now_ns - job.ended_ns > limits.keep_for_s * 1e9
        too_large = limits.total_bytes is not None and total_bytes > limits.total_bytes and position > 0
        if too_many or too_old or too_large:
            gone.append(job.job_id)
            total_bytes -= job.kept_bytes
    gone.reverse()
    return gone
