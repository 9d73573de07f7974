"""What an agent is told when something cannot be done: the error, and the tool to call next.

The daemon's hints name shell commands, for people. An agent has tools, so each error code has its own next step here; a
test holds the table total.
"""

from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.protocol import JobStatus

__all__ = ["NEXT_STEP", "explain"]

# {job} is the job that the error is about, where there is one. None: the error's own hint says it best.
NEXT_STEP: dict[ErrorCode, str | None] = {
    ErrorCode.INTERNAL: "This is a bug in bgjob; the daemon's log has the details. Call list to see the jobs.",
    ErrorCode.INVALID_ARGUMENT: None,
    ErrorCode.UNSUPPORTED: "The bgjob daemon is older than this server; `bgjob daemon restart` keeps all jobs running.",
    ErrorCode.BAD_FRAME: "Call again; if it repeats, `bgjob daemon restart` keeps all jobs running.",
    ErrorCode.FRAME_TOO_LARGE: "Send less at once: put long input into a file.",
    ErrorCode.VERSION_MISMATCH: "Run `bgjob daemon restart`: it keeps all jobs running. Then call again.",
    ErrorCode.DAEMON_UNREACHABLE: None,
    ErrorCode.DAEMON_SILENT: "The bgjob daemon hangs; `bgjob daemon restart` keeps all jobs running. Then call again.",
    ErrorCode.CONNECTION_LOST: "The daemon was restarted or crashed; jobs go on. Call list to see them.",
    ErrorCode.SHUTTING_DOWN: "The daemon is being restarted; jobs go on. Call again.",
    ErrorCode.NO_SUCH_JOB: "Call list to see the jobs of this project, or list with scope all.",
    ErrorCode.AMBIGUOUS_JOB: "Call again with more characters of the id.",
    ErrorCode.NAME_IN_USE: "Call status {job} to see that job, kill {job} to replace it, or choose another name.",
    ErrorCode.NOT_RUNNING: "Call status {job} to see how it ended, or output {job} to see what it wrote.",
    ErrorCode.STILL_RUNNING: "Call wait {job}, or kill {job}.",
    ErrorCode.STDIN_CLOSED: "The job takes no more input. Call status {job}; start another with execute where needed.",
    ErrorCode.STDIN_FULL: "The job does not read its input now. Call status {job} or tail {job} to see what it does.",
    ErrorCode.REFUSED: "The user's configuration does not allow it; ask the user, or use another command.",
    ErrorCode.LIMIT_EXCEEDED: None,
    ErrorCode.IDEMPOTENCY_CONFLICT: "Call status {job} to see the first job, or use a new idempotency_key.",
    ErrorCode.OUTPUT_GONE: "The output was removed by the retention settings; status {job} has what is still known.",
    ErrorCode.OUTPUT_DAMAGED: "Call status {job} for what is still known.",
    ErrorCode.STORAGE: None,
    ErrorCode.SLOW_READER: "Call again.",
    ErrorCode.CANCELLED: "Call again where still wanted.",
}

_ANYHOW = "Correct that, and call again."


_QUEUED = "It has not started yet. Call wait {job}, or kill {job}."
_LONGEST_MESSAGE = 1_000  # what a caller gave is in it, and may be of any length


def explain(error: BgjobError) -> str:
    """Return the error in one or two lines: what could not be done and why, candidates, and what to call next."""
    lines = [_bounded(error.message)]
    candidates = error.details.get("candidates") or []
    if candidates:
        close = ", ".join(_named(candidate) for candidate in candidates)
        lines.append(f"close candidates: {close}")
    step = _QUEUED if error.details.get("status") == JobStatus.QUEUED.value else NEXT_STEP[error.code]
    job = str(error.details.get("job_id", ""))[:8]
    hint = (error.hint or _ANYHOW) if step is None else step.replace("{job}", job or "with its job_id")
    return "\n".join([*lines, f"next: {hint}"])


def _bounded(message: str) -> str:
    if len(message) <= _LONGEST_MESSAGE:
        return message
    half = _LONGEST_MESSAGE // 2
    return f"{message[:half]}[… {len(message) - 2 * half:,} characters …]{message[-half:]}"


def _named(candidate: dict[str, str]) -> str:
    name = candidate.get("name")
    return f"{candidate['job_id']} ({name})" if name else candidate["job_id"]
