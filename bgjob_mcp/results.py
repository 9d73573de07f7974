"""What `status`, `list` and `kill` answer: small closed structures, from which their output schemas are made.

Field names are those of the protocol's JobInfo and Receipt, and of `bgjob status --json`. What is not known, or empty,
is left out: each name costs the model tokens.
"""

from typing import Literal

import msgspec

from bgjobd.protocol import EndReason, JobInfo, JobStatus, ProcessEnd, ProcessInfo, Receipt

__all__ = ["JobLine", "JobList", "KillResult", "StatusResult", "end_reason", "job_line", "kill_result", "status_result"]


class Result(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of all results."""


class Process(Result, frozen=True, kw_only=True):
    """A live process of a job."""

    pid: int
    name: str = ""
    cpu_s: float = 0.0
    rss_bytes: int = 0
    ports: list[int] = []


class Survivor(Result, frozen=True, kw_only=True):
    """A process that a kill could not end."""

    pid: int
    name: str = ""


class Ended(Result, frozen=True, kw_only=True):
    """A process that a kill was about."""

    pid: int
    name: str = ""
    signals: list[str] = []
    ended: str = ""


class StatusResult(Result, frozen=True, kw_only=True):
    """All that is known about a job."""

    status: JobStatus
    job_id: str
    name: str = ""
    reason: str = ""  # an EndReason; spelt out in the docs rather than in each tools/list
    exit_code: int | None = None
    signal: str | None = None
    error: str = ""
    killed_by: str | None = None
    kill_reason: str | None = None
    command: str = ""
    cwd: str = ""
    pid: int | None = None
    submitted: str = ""
    started: str | None = None
    ended: str | None = None
    duration_s: float | None = None
    queue_position: int | None = None
    output_bytes: int = 0
    dropped_bytes: int = 0
    last_output_age_s: float | None = None
    waiting_for_input: bool | None = None
    prompt: str | None = None
    input_mode: str = ""  # an InputMode: line, hidden or raw
    processes: list[Process] = []
    ports: list[int] = []
    cpu_s: float | None = None
    peak_rss_bytes: int | None = None
    left_behind: list[Process] = []
    blocked: str = ""
    timeout_s: float | None = None
    idle_timeout_s: float | None = None
    warnings: list[str] = []


class JobLine(Result, frozen=True, kw_only=True):
    """One job of a list."""

    job_id: str
    status: JobStatus
    command: str
    started: str | None = None  # not there while it waits in line
    name: str = ""
    exit_code: int | None = None
    reason: str = ""  # an EndReason, unless the job ended by itself
    signal: str | None = None
    killed_by: str | None = None
    kill_reason: str | None = None
    duration_s: float | None = None
    output_bytes: int = 0
    left_behind_count: int = 0
    waiting_for_input: bool | None = None


class JobList(Result, frozen=True, kw_only=True):
    """Jobs, newest first."""

    jobs: list[JobLine]
    total: int  # how many there are in this scope


class KillResult(Result, frozen=True, kw_only=True):
    """What a kill did."""

    status: Literal["killed", "already_terminated", "not_found", "signalled", "incomplete"]
    job_id: str = ""
    name: str = ""
    processes: list[Ended] = []
    survivors: list[Survivor] = []
    duration_s: float = 0.0
    note: str = ""


def status_result(job: JobInfo) -> StatusResult:
    """Return what a `status` answers about `job`."""
    return StatusResult(
        processes=[_process(process) for process in job.processes or []],
        left_behind=[_process(process) for process in job.left_behind],
        ports=job.ports or [],
        reason=job.reason.value if job.reason else "",
        input_mode=job.input_mode.value if job.input_mode else "",
        **{name: getattr(job, name) for name in _SAME_IN_STATUS},
    )


_COMPUTED = {"processes", "left_behind", "ports", "reason", "input_mode"}
_SAME_IN_STATUS = tuple(name for name in StatusResult.__struct_fields__ if name not in _COMPUTED)


def job_line(job: JobInfo) -> JobLine:
    """Return what a `list` says about `job`."""
    return JobLine(reason=end_reason(job), **{name: getattr(job, name) for name in _SAME_IN_LINE})


_SAME_IN_LINE = tuple(name for name in JobLine.__struct_fields__ if name != "reason")


def end_reason(job: JobInfo) -> str:
    """Return why a job ended, where that is not said by its status and exit code."""
    return "" if job.reason in (None, EndReason.EXIT) else job.reason.value


def kill_result(receipt: Receipt) -> KillResult:
    """Return what a `kill` answers."""
    return KillResult(
        status=receipt.status,  # type: ignore[arg-type]  # the protocol's words, checked by a test
        job_id=receipt.job_id,
        name=receipt.name,
        processes=[_ended(process) for process in receipt.processes],
        survivors=[Survivor(pid=process.pid, name=process.name) for process in receipt.survivors],
        duration_s=receipt.duration_s,
        note=receipt.note,
    )


def _process(process: ProcessInfo) -> Process:
    return Process(
        pid=process.pid,
        name=process.name,
        cpu_s=process.cpu_s,
        rss_bytes=process.rss_bytes,
        ports=process.ports,
    )


def _ended(process: ProcessEnd) -> Ended:
    return Ended(pid=process.pid, name=process.name, signals=process.signals, ended=process.ended)
