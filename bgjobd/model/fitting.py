"""As many jobs as fit one reply: a command may be a script of a megabyte, and a list has thousands of jobs. Pure."""

import msgspec

from bgjobd.protocol import JobInfo
from bgjobd.wire import MAX_FRAME_BYTES

_ROOM_BYTES = MAX_FRAME_BYTES // 4 * 3  # the rest is for what stands around them
_encode = msgspec.msgpack.Encoder().encode


def fitting(jobs: list[JobInfo]) -> list[JobInfo]:
    """Return the jobs up to the first that has no room any more; at least one, if there is one."""
    room = _ROOM_BYTES
    for number, job in enumerate(jobs):
        room -= len(_encode(job))
        if room < 0:
            return jobs[: max(number, 1)]
    return jobs
