"""The errors bgjob expects: one closed list of codes and one exception. Standard library only.

The code is the contract: the command line maps it to an exit status, the MCP server to a tool error, and tests
hold both tables total. The message reads "cannot X: reason"; the hint is a separate sentence with what to do next.
"""

from collections.abc import Mapping
from enum import StrEnum

TYPE_CHECKING = False  # as type checkers know it; `typing` itself costs 4 ms, on the way of every client
if TYPE_CHECKING:
    from typing import Any

__all__ = ["BgjobError", "ErrorCode"]


class ErrorCode(StrEnum):
    """Why a request could not be done. Values are stable and never reused."""

    INTERNAL = "internal"  # a bug in bgjob; the daemon's log has the traceback
    INVALID_ARGUMENT = "invalid_argument"  # the caller's value is wrong; names the value and what is accepted
    UNSUPPORTED = "unsupported"  # this daemon or platform does not have the operation
    BAD_FRAME = "bad_frame"  # the bytes on the socket are not our protocol; the connection is closed
    FRAME_TOO_LARGE = "frame_too_large"  # over MAX_FRAME_BYTES; the connection is closed
    VERSION_MISMATCH = "version_mismatch"  # other protocol major; `bgjob daemon restart` keeps jobs running
    DAEMON_UNREACHABLE = "daemon_unreachable"  # no daemon, or it could not be started
    DAEMON_SILENT = "daemon_silent"  # it took the connection and said nothing: it hangs, or was stopped
    CONNECTION_LOST = "connection_lost"  # the daemon went away in the middle of a request
    SHUTTING_DOWN = "shutting_down"  # the daemon is stopping; ask again
    NO_SUCH_JOB = "no_such_job"
    AMBIGUOUS_JOB = "ambiguous_job"
    NAME_IN_USE = "name_in_use"  # an active job already has this name
    NOT_RUNNING = "not_running"  # the verb needs a running job
    STILL_RUNNING = "still_running"  # the verb needs an ended job
    STDIN_CLOSED = "stdin_closed"  # the job's standard input was closed, by it or by us
    STDIN_FULL = "stdin_full"  # the job does not read its standard input; details say how much was taken
    REFUSED = "refused"  # a policy (allow, deny) says no
    LIMIT_EXCEEDED = "limit_exceeded"  # a stated limit was hit
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"  # the key was used for a different request
    OUTPUT_GONE = "output_gone"  # pruned
    OUTPUT_DAMAGED = "output_damaged"  # the job's directory cannot be read as what it should be
    STORAGE = "storage"  # the disk refused: full, read-only, permission
    SLOW_READER = "slow_reader"  # the client did not read its stream and was dropped from it
    CANCELLED = "cancelled"  # the caller cancelled this request


class BgjobError(Exception):
    """An error that the caller should see as it is: code, message, hint and machine-readable details."""

    def __init__(
        self, code: ErrorCode, message: str, hint: str = "", details: "Mapping[str, Any] | None" = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.details: dict[str, Any] = dict(details or {})

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message
