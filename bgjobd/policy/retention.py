"""Which ended jobs are too many, too old or too large to keep. Pure."""

from collections.abc import Iterable, Iterator
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


def beyond(limits: Limits, oldest_first: Iterable[Ended], count: int, total_bytes: int, now_ns: int) -> Iterator[Ended]:
    """Give the jobs to forget, oldest first: the oldest go until all that is left is within the limits.

    Looks at no more jobs than it gives, and one.

    Args:
        limits: what is kept.
        oldest_first: jobs in the order of their end, the oldest first. The newest is kept whatever its size.
        count: how many jobs there are, also those that are not in `oldest_first` because they must stay.
        total_bytes: how much output there is of all of them.
        now_ns: unix time. When the clock was set back, jobs look young and stay.
    """
    for job in oldest_first:
        too_many = limits.keep_jobs is not None and count > limits.keep_jobs
        too_old = limits.keep_for_s is not None and now_ns - job.ended_ns > limits.keep_for_s * 1e9
        too_large = limits.total_bytes is not None and total_bytes > limits.total_bytes and count > 1
        if not (too_many or too_old or too_large):
            return
        yield job
        count -= 1
        total_bytes -= job.kept_bytes
