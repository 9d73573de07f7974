"""Exit statuses: a total table from `ErrorCode`, and the status that a job hands on. See docs/reference/cli.md.

Must not import msgspec: `bgjob --version` and usage errors end here as well.
"""

import signal
from typing import TYPE_CHECKING

from bgjobd.errors import ErrorCode

if TYPE_CHECKING:
    from bgjobd.protocol import JobInfo

__all__ = ["BY_ERROR", "FAILED", "LOST", "NOT_REACHED", "NOT_RUNNING", "OK", "TIMED_OUT", "USAGE", "of_job"]

OK = 0
FAILED = 1
USAGE = 2
NOT_RUNNING = 3
NO_SUCH_JOB = 4
REFUSED = 5
NOT_REACHED = 6
OTHER_VERSION = 7
OUTPUT_GONE = 8
TIMED_OUT = 124  # as timeout(1) of GNU coreutils
LOST = 125
_SIGNAL_BASE = 128  # as shells report a command that died by a signal (POSIX XCU 2.8.2 asks for > 128)

BY_ERROR: dict[ErrorCode, int] = {
    ErrorCode.INTERNAL: FAILED,
    ErrorCode.INVALID_ARGUMENT: USAGE,
    ErrorCode.UNSUPPORTED: OTHER_VERSION,  # an older daemon does not know the operation
    ErrorCode.BAD_FRAME: FAILED,
    ErrorCode.FRAME_TOO_LARGE: REFUSED,
    ErrorCode.VERSION_MISMATCH: OTHER_VERSION,
    ErrorCode.DAEMON_UNREACHABLE: NOT_REACHED,
    ErrorCode.DAEMON_SILENT: NOT_REACHED,
    ErrorCode.CONNECTION_LOST: NOT_REACHED,
    ErrorCode.SHUTTING_DOWN: NOT_REACHED,
    ErrorCode.NO_SUCH_JOB: NO_SUCH_JOB,
    ErrorCode.AMBIGUOUS_JOB: NO_SUCH_JOB,
    ErrorCode.NAME_IN_USE: REFUSED,
    ErrorCode.NOT_RUNNING: NOT_RUNNING,
    ErrorCode.STILL_RUNNING: REFUSED,
    ErrorCode.STDIN_CLOSED: NOT_RUNNING,  # it runs, but not in the state that the verb needs
    ErrorCode.STDIN_FULL: REFUSED,
    ErrorCode.REFUSED: REFUSED,
    ErrorCode.LIMIT_EXCEEDED: REFUSED,
    ErrorCode.IDEMPOTENCY_CONFLICT: REFUSED,
    ErrorCode.OUTPUT_GONE: OUTPUT_GONE,
    ErrorCode.OUTPUT_DAMAGED: OUTPUT_GONE,
    ErrorCode.STORAGE: FAILED,
    ErrorCode.SLOW_READER: NOT_REACHED,
    ErrorCode.CANCELLED: _SIGNAL_BASE + signal.SIGINT,  # only we ourselves cancel our requests
}


def of_job(job: "JobInfo") -> int:
    """Return the exit status that stands for how a job ended, for `run --wait`, `run --follow` and `wait`.

    Its own exit code; 128+N when signal N ended it; 124 when a time limit did; 125 when nobody saw its end, or it
    never ran; 126 and 127 when it could not be executed. 0 only when it completed: a job that was killed and exits 0
    in its signal handler counts as 143.
    """
    if job.status == "completed":
        return OK
    if job.reason in ("timeout", "idle_timeout"):
        return TIMED_OUT
    if job.exit_code:
        return job.exit_code
    if job.signal:
        return _SIGNAL_BASE + signal_number(job.signal)
    if job.status == "killed" and job.exit_code == 0:
        return _SIGNAL_BASE + signal.SIGTERM
    return LOST


def signal_number(name: str) -> int:
    """Return the number of a signal as the daemon names it: `SIGTERM`, `SIGRTMIN+3`, or `SIG64` and the like."""
    base, _, offset = name.partition("+")
    known = signal.Signals.__members__.get(base)
    if known is not None:
        return known + int(offset or 0)
    digits = "".join(filter(str.isdigit, base))
    return int(digits or 0)
