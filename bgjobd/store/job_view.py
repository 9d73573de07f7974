"""From what is on disk about a job to what the protocol says about it. Records and numbers in, `JobInfo` out; no I/O.

What only a live daemon knows (queue position, samples of processes, whether the standard input is open) is not here:
the daemon replaces those fields.
"""

import os
import shlex
import time
from dataclasses import dataclass
from typing import Any

from bgjobd.model.outcome import Outcome, outcome
from bgjobd.protocol import ClientInfo, JobInfo, JobStatus, ProcessEnd, ProcessInfo, Receipt
from bgjobd.runner.records import ExitRecord, RunRecord, Spec

_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class LogFacts:
    """What the log on disk says: all bytes written, those still there, and when the last ones came."""

    output_bytes: int = 0
    kept_bytes: int = 0
    last_output_ns: int = 0  # unix time; 0: never

    @property
    def dropped_bytes(self) -> int:
        """Bytes that were written and are no longer kept."""
        return self.output_bytes - self.kept_bytes


def job_info(
    spec: Spec,
    run: RunRecord | None = None,
    exit_record: ExitRecord | None = None,
    log: LogFacts | None = None,
    *,
    now_ns: int = 0,
    boot_ns: int = 0,
) -> JobInfo:
    """Return what the records of one job say.

    Args:
        spec: what was asked.
        run: None: nothing runs yet, so the job is `queued`.
        exit_record: None: it has not ended.
        log: None: taken from the exit record.
        now_ns: unix time, for the durations and ages of a job that has not ended; 0 leaves them out.
        boot_ns: unix time of the boot that the job ran in, which turns the process start times of the records into
            times; 0 leaves them out.
    """
    facts = log or _recorded_log(exit_record)
    return JobInfo(
        **_asked(spec),
        **_timing(spec, run, exit_record, now_ns),
        **(_running(run) if exit_record is None else _ended(exit_record)),
        pid=run.job_pid or None if run else None,
        runner_pid=run.runner_pid or None if run and exit_record is None else None,
        output_bytes=facts.output_bytes,
        kept_bytes=facts.kept_bytes,
        dropped_bytes=facts.dropped_bytes,
        last_output=rfc3339(facts.last_output_ns),
        last_output_age_s=seconds_between(facts.last_output_ns, now_ns),
        left_behind=[_left_behind(line, boot_ns) for line in exit_record.left_behind] if exit_record else [],
        receipt=receipt(spec, exit_record, boot_ns) if exit_record else None,
    )


def receipt(spec: Spec, exit_record: ExitRecord, boot_ns: int = 0) -> Receipt | None:
    """Return the receipt of a kill, None when there was none.

    Args:
        spec: of the job.
        exit_record: where the kill's facts are.
        boot_ns: as in `job_info`.
    """
    if exit_record.kill_us is None:
        return None
    survivors = [_process_end(line, boot_ns) for line in exit_record.survivor]
    return Receipt(
        job_id=spec.job_id,
        name=_clean(spec.name),
        status="incomplete" if survivors else "killed",
        processes=[_process_end(line, boot_ns) for line in exit_record.killed],
        survivors=survivors,
        duration_s=round(exit_record.kill_us / 1e6, 6),
        note=_clean(exit_record.kill_note),
    )


def rfc3339(unix_ns: int) -> str | None:
    """Return the time as RFC 3339 UTC with milliseconds; None for 0, which means never."""
    if not unix_ns:
        return None
    seconds, rest = divmod(unix_ns, _NS)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest // 1_000_000:03d}Z"


def seconds_between(start_ns: int, end_ns: int) -> float | None:
    """Return the seconds from one time to another, to the millisecond; None when one of them is unknown (0).

    Never negative: the wall clock may have been set back in between.
    """
    return round(max(0, end_ns - start_ns) / _NS, 3) if start_ns and end_ns else None


def place_of(spec: Spec) -> tuple[str, str]:
    """Return the directory and the project of a job, as its JobInfo has them."""
    return _text(spec.cwd), _clean(spec.project)


def _asked(spec: Spec) -> dict[str, Any]:
    """Return the fields that repeat what was asked."""
    return {
        "job_id": spec.job_id,
        "name": _clean(spec.name),
        "command": _text(spec.command) or shlex.join(_text(argument) for argument in spec.argv),
        "argv": [_text(argument) for argument in spec.argv] if spec.is_argv else None,
        "cwd": _text(spec.cwd),
        "timeout_s": None if spec.timeout_ms is None else spec.timeout_ms / 1000,
        "idle_timeout_s": None if spec.idle_timeout_ms is None else spec.idle_timeout_ms / 1000,
        "max_output_bytes": spec.max_output_bytes,
        "max_memory_bytes": spec.max_memory_bytes,
        "max_cpu_s": spec.max_cpu_s,
        "nice": spec.nice,
        "merge_stderr": spec.merge_stderr,
        "pty": spec.pty,
        "client": ClientInfo(
            kind=_clean(spec.client_kind) or "other",
            name=_clean(spec.client_name),
            version=_clean(spec.client_version),
            session=_clean(spec.client_session),
            project=_clean(spec.project),
        ),
        "warnings": [_text(warning) for warning in spec.warning],
    }


def _timing(spec: Spec, run: RunRecord | None, exit_record: ExitRecord | None, now_ns: int) -> dict[str, Any]:
    """Return when it was submitted, started and ended, and how long that took."""
    started_ns = (run.started_ns if run else 0) or (exit_record.started_ns if exit_record else 0)
    ended_ns = exit_record.ended_ns if exit_record else 0
    duration_s = seconds_between(started_ns, ended_ns or now_ns)
    if exit_record and exit_record.duration_us:  # by the monotonic clock: right even if the wall clock was set
        duration_s = round(exit_record.duration_us / 1e6, 3)
    return {
        "submitted": rfc3339(spec.submitted_ns) or "",
        "started": rfc3339(started_ns),
        "ended": rfc3339(ended_ns),
        "duration_s": duration_s,
        "queued_s": seconds_between(spec.submitted_ns, started_ns or ended_ns or now_ns),
    }


def _running(run: RunRecord | None) -> dict[str, Any]:
    return {"status": JobStatus.RUNNING if run else JobStatus.QUEUED}


def _ended(exit_record: ExitRecord) -> dict[str, Any]:
    """Return how it ended. The cpu time and memory of an end that nobody saw are unknown, not 0."""
    end = exit_outcome(exit_record)
    measured = exit_record.status is not None and end.status is not JobStatus.LOST
    return {
        "status": end.status,
        "reason": end.reason,
        "exit_code": end.exit_code,
        "signal": end.signal,
        "error": _clean(exit_record.error),
        "cpu_s": round((exit_record.utime_us + exit_record.stime_us) / 1e6, 6) if measured else None,
        "peak_rss_bytes": exit_record.max_rss_kib * 1024 if measured and exit_record.max_rss_kib else None,
        "left_behind_count": exit_record.left,
        "killed_by": None if exit_record.actor is None else _clean(exit_record.actor),
        "kill_reason": None if exit_record.kill_reason is None else _clean(exit_record.kill_reason),
        "seen_by": None if end.status is JobStatus.LOST else exit_record.by,
        "stdin_open": False,
    }


def exit_outcome(exit_record: ExitRecord) -> Outcome:
    """Return what an exit record means."""
    return outcome(
        reason=exit_record.reason, wait_status=exit_record.status, by=exit_record.by, exit_code=exit_record.exit_code
    )


def _recorded_log(exit_record: ExitRecord | None) -> LogFacts:
    if exit_record is None:
        return LogFacts()
    return LogFacts(exit_record.out_end, exit_record.out_end - exit_record.dropped_bytes)


def _process_end(line: bytes, boot_ns: int) -> ProcessEnd:
    """Return one receipt line, `PID START SIGNALS ENDED|NAME` (see runner.receipt); what is missing stays empty."""
    facts, _, name = _text(line).partition("|")
    pid, start, signals, ended = (*facts.split(" ", 3), "", "", "", "")[:4]
    return ProcessEnd(
        pid=_number(pid),
        name=name,
        started=start_text(_number(start), boot_ns),
        signals=[signal for signal in signals.split(",") if signal not in ("", "-")],
        ended=ended.strip(),
    )


def _left_behind(line: bytes, boot_ns: int) -> ProcessInfo:
    """Return one descendant that goes on running, `PID START NAME`."""
    pid, start, name = (*_text(line).split(" ", 2), "", "", "")[:3]
    return ProcessInfo(pid=_number(pid), name=name, started=start_text(_number(start), boot_ns))


def start_text(ticks: int, boot_ns: int) -> str:
    """Return the time that kernel ticks since boot mean, "" where the boot or the ticks are not known (0)."""
    if not boot_ns or not ticks:
        return ""
    return rfc3339(boot_ns + ticks * _NS // os.sysconf("SC_CLK_TCK")) or ""


def _number(text: str) -> int:
    """Return the number in `text`, 0 when it is none: a receipt that reads badly must not hide the job."""
    return int(text) if text.isascii() and text.isdigit() else 0


def _text(raw: bytes) -> str:
    """Return bytes for people: UTF-8, the rest replaced."""
    return raw.decode("utf-8", "replace")


def _clean(text: str) -> str:
    """Return text that the wire can carry: records escape invalid bytes as surrogates, UTF-8 has none."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
