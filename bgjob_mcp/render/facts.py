"""What is known about a job in a line or two, most important first."""

from collections.abc import Iterator

import msgspec

from bgjobd.protocol import EndReason, InputMode, JobInfo, JobStatus, ProcessEnd, ProcessInfo, Receipt

__all__ = [
    "duration",
    "headline",
    "job_row",
    "job_words",
    "kill_line",
    "notes",
    "processes_words",
    "quoted",
    "short_id",
    "status_words",
]

_SHORT_ID = 8
_ROW_COMMAND = 80
_PROMPT = 200
_REASON = 200
_PROCESSES = 10  # named in a line; the others are counted


def short_id(job_id: str) -> str:
    """Return the part of a job id that is shown where there are many."""
    return job_id[:_SHORT_ID]


def duration(seconds: float) -> str:
    """Return a duration as people say it: 20 ms, 12.3 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def headline(job: JobInfo) -> str:
    """Return the first line of an answer about a job: how it is, which one it is, how much it wrote."""
    return f"{status_words(job)} · {job_words(job)} · {job.output_bytes:,} bytes of output"


def job_words(job: JobInfo, *, whole_id: bool = True) -> str:
    """Return which job it is: job 01234567 "dev"."""
    name = f' "{job.name}"' if job.name else ""
    return f"job {job.job_id if whole_id else short_id(job.job_id)}{name}"


def status_words(job: JobInfo) -> str:
    """Return how a job is, and why: completed, exit code 0, after 3.2 s."""
    took = "" if job.duration_s is None else duration(job.duration_s)
    if job.status is JobStatus.QUEUED:
        return f"queued, position {job.queue_position}" if job.queue_position else "queued"
    if job.status is JobStatus.RUNNING:
        return f"running for {took}" if took else "running"
    words = f"{job.status.value}{_why(job)}"
    return f"{words}, after {took}" if took else words


def _why(job: JobInfo) -> str:
    match job.reason:
        case EndReason.SPAWN_FAILED:
            return f": could not start: {job.error}"
        case EndReason.SIGNAL:
            return f", died by {job.signal}"
        case EndReason.OOM:
            return ": out of memory" + (f", {job.kill_reason}" if job.kill_reason else "")
        case EndReason.TIMEOUT if job.kill_reason and not job.reached_time_limit:
            return f": {job.kill_reason}{_how(job)}"
        case EndReason.TIMEOUT:
            return f": over its time limit of {duration(job.timeout_s or 0)}{_how(job)}"
        case EndReason.IDLE_TIMEOUT:
            return f": no output for {duration(job.idle_timeout_s or 0)}{_how(job)}"
        case EndReason.USER:
            return f"{_by_whom(job)}{_how(job)}"
        case EndReason.CANCELLED:
            return f": cancelled{_by_whom(job)}"
        case EndReason.EXIT | None if job.exit_code is not None:
            return f", exit code {job.exit_code}"
        case None:
            return f": {job.error}" if job.error else ""
        case _:
            return f": {job.error or job.reason.value.replace('_', ' ')}"


def _by_whom(job: JobInfo) -> str:
    """Return who ended a job, and why; what somebody wrote stays on one line and short."""
    by = f" by {_one_line(job.killed_by)}" if job.killed_by else ""
    return f"{by}: {_one_line(job.kill_reason)}" if job.kill_reason else by


def _how(job: JobInfo) -> str:
    """Return how the main process of a job ended that was made to."""
    if job.exit_code is not None:
        return f", exit code {job.exit_code}"
    return f", {job.signal}" if job.signal else ""


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _REASON else f"{line[: _REASON - 1]}…"


def notes(job: JobInfo) -> Iterator[str]:
    """Yield what else one should know about a job: who was left behind, what it waits for, what was tightened."""
    if job.left_behind_count or job.left_behind:
        count = max(job.left_behind_count, len(job.left_behind))
        which = _some([_process(process) for process in job.left_behind], count)
        yield f"left behind: {_processes(count)} still {'runs' if count == 1 else 'run'} ({which}); kill ends them"
    if job.blocked:
        yield f"blocked: {job.blocked}"
    if job.waiting_for_input:
        yield _waiting(job)
    if job.dropped_bytes:
        yield f"{job.dropped_bytes:,} bytes of output are no longer kept"
    yield from job.warnings


def _waiting(job: JobInfo) -> str:
    """Return what a job waits for, and who has to answer."""
    prompt = f", prompt {quoted(job.prompt[-_PROMPT:])}" if job.prompt else ""
    if job.input_mode is InputMode.HIDDEN:
        return (
            f"waiting for a secret{prompt}: a person has to type it, not you; ask them to run "
            f"`bgjob answer {job.name or short_id(job.job_id)}` in their own terminal, then call wait"
        )
    if job.input_mode is InputMode.RAW:
        return f"waiting for keys{prompt}; output with screen shows what for, interact with keys presses them"
    return f"waiting for input{prompt}; answer with interact"


def quoted(text: str) -> str:
    """Return text that comes from a job in quotes, so that it cannot pass for a line of ours."""
    return msgspec.json.encode(text).decode()


def processes_words(job: JobInfo) -> str:
    """Return which processes a job has: 2 processes (7 sh, 9 node :3000); "" where none is known."""
    if not job.processes:
        return ""
    return f"{_processes(len(job.processes))} ({_some([_process(each) for each in job.processes], len(job.processes))})"


def _processes(count: int) -> str:
    return "1 process" if count == 1 else f"{count} processes"


def _process(process: ProcessInfo) -> str:
    ports = "".join(f" :{port}" for port in process.ports)
    return f"{process.pid} {process.name}{ports}"


def job_row(job: JobInfo) -> str:
    """Return one job as one line of a list."""
    name = f" {job.name}" if job.name else ""
    left = f" +{job.left_behind_count}" if job.left_behind_count else ""
    command = " ".join(job.command.split())
    if len(command) > _ROW_COMMAND:
        command = f"{command[: _ROW_COMMAND - 1]}…"
    since = f"{job.started or job.submitted}"[:19].replace("T", " ")
    waits = ", needs input" if job.waiting_for_input else ""
    how = f"{status_words(job)}{waits}{left} · {since}Z · {job.output_bytes:,} bytes"
    return f"{short_id(job.job_id)}{name} · {how} · {command}"


def kill_line(receipt: Receipt, note: str = "") -> str:
    """Return what a kill did, and what else there is to say, as a line."""
    took = f" in {duration(receipt.duration_s)}" if receipt.duration_s else ""
    name = f' "{receipt.name}"' if receipt.name else ""
    line = f"{receipt.status} · job {receipt.job_id}{name}"
    if receipt.processes:
        ended = [_ended(process) for process in receipt.processes]
        line += f" · {_processes(len(ended))}{took}: {_some(ended, len(ended))}"
    if receipt.survivors:
        alive = [f"{end.pid} {end.name}" for end in receipt.survivors]
        line += f" · STILL ALIVE: {_some(alive, len(alive))}"
    return f"{line} · {note}" if note else line


def _ended(process: ProcessEnd) -> str:
    """Return what a process was sent and what became of it: 7 sh SIGTERM+SIGKILL → SIGKILL."""
    sent = " ".join(word for word in (str(process.pid), process.name, "+".join(process.signals)) if word)
    return f"{sent} → {process.ended}" if process.ended else sent


def _some(words: list[str], count: int) -> str:
    """Return the first few, and how many more there are."""
    shown = words[:_PROCESSES]
    return ", ".join(shown) + (f" and {count - len(shown)} more" if count > len(shown) else "")
