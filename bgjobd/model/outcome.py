"""What a job's end means: from the raw wait status and the recorded reason to status, exit code and signal. Pure.

Success is reported only where a wait status says so: an end that nobody saw is `lost`, whatever else is known.
"""

import signal
from dataclasses import dataclass

from bgjobd.protocol import EndReason, JobStatus

# bgjob ended it, also when the command then left with a status of its own (it may handle SIGTERM and exit 0)
_ENDED_BY_US = frozenset({EndReason.USER, EndReason.TIMEOUT, EndReason.IDLE_TIMEOUT, EndReason.CANCELLED})
_COULD_NOT_START = frozenset({EndReason.SPAWN_FAILED, EndReason.DEPENDENCY})
_NOT_SEEN = frozenset({EndReason.REBOOT, EndReason.UNOBSERVED})


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended, in the words of the protocol."""

    status: JobStatus
    reason: EndReason
    exit_code: int | None = None
    signal: str | None = None


def outcome(*, reason: str, wait_status: int | None, by: str, exit_code: int | None = None) -> Outcome:
    """Return what the facts of an exit record mean.

    Args:
        reason: as recorded; one that this version does not know counts as what the wait status says.
        wait_status: as from wait4 (POSIX `wait`), None when nobody saw it or nothing was started.
        by: who saw the end; "lost" for nobody.
        exit_code: only without a wait status: 126 or 127 of a command that could not be executed.
    """
    known = _known_reason(reason)
    if by == "lost" or known in _NOT_SEEN:
        return Outcome(JobStatus.LOST, known if known in _NOT_SEEN else EndReason.UNOBSERVED)
    if known in _COULD_NOT_START:
        return Outcome(JobStatus.FAILED, known, exit_code)
    if wait_status is None:
        status = JobStatus.KILLED if known in _ENDED_BY_US else JobStatus.LOST
        return Outcome(status, known if status is JobStatus.KILLED else EndReason.UNOBSERVED, exit_code)
    code, name = decode_wait_status(wait_status)
    if known in _ENDED_BY_US:
        return Outcome(JobStatus.KILLED, known, code, name)
    if known is not EndReason.OOM:
        known = EndReason.EXIT if name is None else EndReason.SIGNAL
    return Outcome(JobStatus.COMPLETED if code == 0 else JobStatus.FAILED, known, code, name)


def decode_wait_status(wait_status: int) -> tuple[int | None, str | None]:
    """Return (exit code, None) or (None, signal name) of a raw wait status.

    By hand, as a decision must not need the `os` module: Linux and macOS keep the signal in the low 7 bits (the 8th
    says that a core was dumped) and the exit code in the second byte.
    """
    number = wait_status & 0x7F
    return (None, signal_name(number)) if number else (wait_status >> 8 & 0xFF, None)


def signal_name(number: int) -> str:
    """Return e.g. SIGTERM or SIGRTMIN+3; SIG<number> for one this platform does not know."""
    try:
        return signal.Signals(number).name
    except ValueError:
        first = getattr(signal, "SIGRTMIN", None)  # macOS has no real-time signals
        if first is not None and first < number <= signal.SIGRTMAX:
            return f"SIGRTMIN+{number - first}"
        return f"SIG{number}"


def _known_reason(reason: str) -> EndReason:
    try:
        return EndReason(reason)
    except ValueError:  # written by a newer runner
        return EndReason.EXIT
