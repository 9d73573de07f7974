"""A job in words: how it is called, how it is doing, why it ended. Pure: what the daemon said in, text out.

Everything from outside (names, commands, errors) passes `printable` here, so callers can print what they get.
"""

from datetime import datetime

from bgjob_cli.quantities import format_duration
from bgjob_cli.terminal_text import printable
from bgjobd.protocol import EndReason, InputMode, JobInfo, JobStatus

__all__ = ["age_s", "ago", "is_active", "label", "local_time", "outcome", "short_id", "status_style", "status_word"]

_STYLES = {
    JobStatus.QUEUED: "dim",
    JobStatus.RUNNING: "busy",
    JobStatus.COMPLETED: "good",
    JobStatus.FAILED: "bad",
    JobStatus.KILLED: "warn",
    JobStatus.LOST: "bad",
}

_WHY = {
    EndReason.TIMEOUT: "timeout",
    EndReason.IDLE_TIMEOUT: "idle timeout",
    EndReason.CANCELLED: "cancelled",
    EndReason.DEPENDENCY: "dependency",
    EndReason.OOM: "out of memory",
    EndReason.REBOOT: "reboot",
}


def short_id(job: JobInfo) -> str:
    """Return the part of the id that people see."""
    return job.job_id[:8]


def label(job: JobInfo) -> str:
    """Return the short id and the name: `3f2a9c1e build`."""
    return f"{short_id(job)} {printable(job.name)}".rstrip()


def is_active(job: JobInfo) -> bool:
    """Return whether the job is queued or running."""
    return job.status in (JobStatus.QUEUED, JobStatus.RUNNING)


def status_style(job: JobInfo) -> str:
    """Return the style of a job's status; what needs a person stands out."""
    return "warn" if is_active(job) and (job.blocked or job.waiting_for_input) else _STYLES[job.status]


def status_word(job: JobInfo) -> str:
    """Return the status as a list shows it: `running`, `queued 2`, `failed 3`, `killed timeout`, `completed +2`.

    `+2` are processes that outlived the job's main process and still run.
    """
    words = [job.status.value, *filter(None, [_active_note(job) if is_active(job) else _end_note(job)])]
    if job.left_behind_count:
        words.append(f"+{job.left_behind_count}")
    return " ".join(words)


def _active_note(job: JobInfo) -> str:
    if job.status is JobStatus.QUEUED:
        return str(job.queue_position or "")
    if job.blocked:
        return f"({printable(job.blocked)})"
    if job.waiting_for_input:
        return "(asks for a secret)" if job.input_mode is InputMode.HIDDEN else "(needs input)"
    return ""


def _end_note(job: JobInfo) -> str:
    """Return what tells one end from another in a word or two."""
    if job.reason in _WHY:
        return _WHY[job.reason]
    if job.status is JobStatus.FAILED:
        return job.signal or ("" if job.exit_code is None else str(job.exit_code))
    return ""


def outcome(job: JobInfo) -> str:
    """Return how a job is doing, or how it ended, in one phrase: `failed after 2.1s: exit code 3`."""
    if job.status is JobStatus.QUEUED:
        return f"queued, number {job.queue_position} in line" if job.queue_position else "queued"
    lasted = "" if job.duration_s is None else format_duration(job.duration_s)
    if job.status is JobStatus.RUNNING:
        notes = [note for note in (_active_note(job),) if note]
        return " ".join(["running", *([f"for {lasted}"] if lasted else []), *notes])
    if job.status is JobStatus.COMPLETED:
        return f"completed in {lasted}" if lasted else "completed"
    ran = lasted and job.reason is not EndReason.SPAWN_FAILED
    head = f"{job.status.value} after {lasted}" if ran else job.status.value
    why = explanation(job)
    return f"{head}: {why}" if why else head


def explanation(job: JobInfo) -> str:
    """Return why an ended job did not complete; where a person or a client wanted it, also who that was."""
    if job.reason is EndReason.TIMEOUT and job.kill_reason and not job.reached_time_limit:
        return printable(job.kill_reason)
    if job.reason is EndReason.TIMEOUT and job.timeout_s is not None:
        return f"its time limit of {format_duration(job.timeout_s)} was reached"
    if job.reason is EndReason.IDLE_TIMEOUT and job.idle_timeout_s is not None:
        return f"it wrote nothing for {format_duration(job.idle_timeout_s)}"
    parts = [_cause(job)]
    if job.killed_by:
        parts.append(f"by {printable(job.killed_by)}")
    if job.kill_reason:
        parts.append(f"({printable(job.kill_reason)})")
    return " ".join(filter(None, parts))


def _cause(job: JobInfo) -> str:
    """Return the first words of an explanation."""
    if job.error:
        return printable(job.error)
    if job.reason in _WHY:
        return _WHY[job.reason]
    if job.signal:
        return job.signal
    return "" if job.exit_code is None else f"exit code {job.exit_code}"


def local_time(stamp: str) -> str:
    """Return an RFC 3339 time in the person's own time zone: `2026-11-23 14:05:09`."""
    return datetime.fromisoformat(stamp).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def ago(stamp: str, now_unix_s: float) -> str:
    """Return how long ago an RFC 3339 time was: `3m12s ago`."""
    return f"{format_duration(age_s(stamp, now_unix_s))} ago"


def age_s(stamp: str, now_unix_s: float) -> float:
    """Return how many seconds ago an RFC 3339 time was; never negative, clocks may be set back."""
    return max(0.0, now_unix_s - datetime.fromisoformat(stamp).timestamp())
