"""execute, status, list and kill."""

import os
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bgjob_mcp.agent import Agent
from bgjob_mcp.arguments import MAX_EXECUTE_WAIT_S, Execute, Kill, ListJobs, Scope, Status
from bgjob_mcp.calls.answer import Answer, Progress
from bgjob_mcp.calls.asking import remember_asking, with_asking
from bgjob_mcp.calls.compose import about
from bgjob_mcp.calls.reading import Shown, read, silent, worth_of_start
from bgjob_mcp.failures import explain
from bgjob_mcp.render.budget import cost
from bgjob_mcp.render.facts import (
    duration,
    headline,
    job_row,
    kill_line,
    notes,
    processes_words,
    short_id,
    status_words,
)
from bgjob_mcp.render.window import ACTIVE
from bgjob_mcp.results import JobList, KillResult, end_reason, job_line, kill_result, status_result
from bgjobd import protocol
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.protocol import InputMode, JobInfo, JobStatus, Receipt, Submit

__all__ = ["encoded", "execute", "job_facts", "kill", "list_jobs", "status"]

_KILL_TAKES_S = 5.0  # at most, beyond the grace
_LIST_BYTES = 14_000  # of one form; there are two


async def execute(agent: Agent, arguments: Execute, progress: Progress | None) -> Answer:
    """Start a job, and answer with its first output: at once when it ends early, at the latest after `wait_s`."""
    wait_s = min(arguments.wait_s, MAX_EXECUTE_WAIT_S)
    reply = await agent.daemon.call(_submit(agent, arguments, wait_s))
    shown = silent(reply.job) or await read(agent, reply.job.job_id, most=worth_of_start)
    if wait_s and shown.job.status is JobStatus.RUNNING:
        shown = await with_asking(agent, shown)
    said = _said(arguments, wait_s, replayed=reply.replayed)
    next_step = _after_execute(shown.job)
    text = about(shown, said=said, next_step=next_step, whole_id=True)
    return Answer(text, job_facts(shown, said, next_step))


def job_facts(shown: Shown, said: Sequence[str] = (), next_step: str = "") -> dict[str, Any]:
    """Return the structure of an answer about one job's output, with the same notes and next step as its text."""
    job = shown.job
    said = [*notes(job), *said]
    more = {"reason": end_reason(job), **{name: getattr(job, name) for name in _ALSO_OF_ENDED}} if job.ended else {}
    return {
        "job_id": job.job_id,
        "name": job.name,
        "status": job.status.value,
        "exit_code": job.exit_code,
        **({"waiting_for_input": True, "prompt": job.prompt or ""} if job.waiting_for_input else {}),
        **{name: value for name, value in more.items() if value not in (None, "")},
        **({"notes": said} if said else {}),
        **({"next": next_step} if next_step else {}),
        "cursor": shown.cursor,
        "omitted_bytes": shown.omitted_bytes,
        "stdout": shown.stdout,
        "stderr": shown.stderr,
    }


_ALSO_OF_ENDED = ("signal", "killed_by", "kill_reason", "error", "duration_s")


def _submit(agent: Agent, arguments: Execute, wait_s: float) -> Submit:
    environment = {**agent.environment}
    for name, value in arguments.env.items():
        if not name or "=" in name or "\0" in name + value:
            raise BgjobError(
                ErrorCode.INVALID_ARGUMENT,
                f"cannot set the environment variable {name!r}: its name is empty or has '=' in it, or there is a NUL",
            )
        environment[encoded("env", name)] = encoded("env", value)
    return Submit(
        command=encoded("command", arguments.command),
        name=arguments.name,
        cwd=os.fsencode(_directory(agent, arguments.cwd)),
        env=environment,
        umask=agent.umask,
        timeout_s=arguments.timeout_s,
        idle_timeout_s=arguments.idle_timeout_s,
        merge_stderr=arguments.merge_stderr,
        pty=arguments.pty,
        project=agent.project,
        # A key of our own makes it safe to send the request again when the daemon is restarted in between.
        idempotency_key=arguments.idempotency_key or str(uuid.uuid4()),
        wait_s=wait_s,
    )


def encoded(argument: str, text: str) -> bytes:
    """Return a string as the bytes that a process gets.

    Raises:
        BgjobError: INVALID_ARGUMENT for a lone surrogate, which JSON may carry but is no character.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT,
            f"cannot use {argument}: {text[error.start]!r} at position {error.start} is half of a character",
        ) from None


def _directory(agent: Agent, cwd: str) -> str:
    """Return the absolute path of a job's working directory."""
    path = os.path.normpath(os.path.join(agent.settings.working_dir, _expanded(cwd, agent.environment)))
    if not os.path.isdir(path):
        reason = "it is not a directory" if os.path.exists(path) else "there is no such directory"
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT,
            f"cannot start a job in {path!r}: {reason}",
            f"Give an existing directory as cwd, or leave it out for {agent.settings.working_dir!r}.",
        )
    return path


def _expanded(path: str, environment: Mapping[bytes, bytes]) -> str:
    """Return `path` with a leading ~ replaced: by the HOME of the client, where it has one."""
    first, slash, rest = path.partition("/")
    home = os.fsdecode(environment.get(b"HOME", b"")) if first == "~" else ""
    return home + slash + rest if home else os.path.expanduser(path)


def _said(arguments: Execute, wait_s: float, *, replayed: bool) -> list[str]:
    said = []
    if wait_s < arguments.wait_s:
        said.append(f"wait_s was {arguments.wait_s:g}; the most is {wait_s:g}, use wait for longer")
    if replayed and arguments.idempotency_key:
        said.append("this idempotency_key was used before: this is that job, nothing was started")
    return said


def _after_execute(job: JobInfo) -> str:
    if job.status not in ACTIVE:
        return ""
    if job.waiting_for_input:
        return "" if job.input_mode is InputMode.HIDDEN else "answer with interact"
    ref = job.name or short_id(job.job_id)
    return f'other work, then wait job_ids ["{ref}"]'


async def status(agent: Agent, arguments: Status, progress: Progress | None) -> Answer:
    """Say all that is known about a job."""
    reply = await agent.daemon.call(protocol.Status(jobs=[arguments.job_id], details=True))
    whole = reply.jobs[0]
    job = _bounded(whole)
    remember_asking(agent, job)
    text = "\n".join([headline(job), *(f"note: {note}" for note in notes(job)), *_details(job, processes_words(whole))])
    return Answer(text, status_result(job))


_COMMAND_BYTES = 2000
_PROCESSES = 40


def _bounded(job: JobInfo) -> JobInfo:
    """Return `job` with what may be very long cut, so that an answer stays small; counts stay as they are."""
    command = job.command
    if len(command) > _COMMAND_BYTES:
        command = f"{command[:_COMMAND_BYTES]}… ({len(command) - _COMMAND_BYTES:,} characters more)"
    warnings = list(job.warnings)
    processes = job.processes
    if processes and len(processes) > _PROCESSES:
        warnings.append(f"{len(processes) - _PROCESSES} of {len(processes)} processes are not listed")
        processes = processes[:_PROCESSES]
    return msgspec.structs.replace(
        job,
        command=command,
        processes=processes,
        left_behind=job.left_behind[:_PROCESSES],
        left_behind_count=max(job.left_behind_count, len(job.left_behind)),
        warnings=warnings,
    )


def _details(job: JobInfo, processes: str) -> list[str]:
    """Return the lines of a status below the first one, those that say something."""
    times = [f"started {job.started}" if job.started else f"submitted {job.submitted}"]
    times += [f"ended {job.ended}"] if job.ended else []
    usage = [f"pid {job.pid}"] if job.pid is not None and job.status is JobStatus.RUNNING else []
    usage += [f"cpu {job.cpu_s:.2f} s"] if job.cpu_s is not None else []
    usage += [f"memory peak {job.peak_rss_bytes / (1 << 20):.0f} MiB"] if job.peak_rss_bytes else []
    usage += ["listens on " + ", ".join(f":{port}" for port in job.ports)] if job.ports else []
    usage += [f"last output {job.last_output_age_s:.1f} s ago"] if job.last_output_age_s is not None else []
    limits = [f"time limit {duration(job.timeout_s)}"] if job.timeout_s else []
    limits += [f"limit without output {duration(job.idle_timeout_s)}"] if job.idle_timeout_s else []
    lines = [f"command: {job.command}", f"cwd: {job.cwd}", " · ".join(times), " · ".join(usage), " · ".join(limits)]
    return [line for line in (*lines, processes) if line]


async def list_jobs(agent: Agent, arguments: ListJobs, progress: Progress | None) -> Answer:
    """List jobs, newest first."""
    project = agent.project if arguments.scope is Scope.PROJECT else ""
    request = protocol.ListJobs(status=arguments.status, project=project, limit=arguments.limit, sample_input=True)
    reply = await agent.daemon.call(request)
    jobs = [_bounded_row(job) for job in sorted(reply.jobs, key=lambda job: job.started or job.submitted, reverse=True)]
    rows = [job_row(job) for job in jobs]
    lines = [job_line(job) for job in jobs]
    count = _fitting(rows, lines)
    where = f"in {project}" if project else "of this user"
    total = max(reply.total, len(jobs))
    text = f"{total} {'job' if total == 1 else 'jobs'} {where}" + (
        f", the newest {count}:" if count < total else ":" if total else ""
    )
    if not total and project:
        text += "; scope all lists those of other projects"
    return Answer("\n".join([text, *rows[:count]]), JobList(jobs=lines[:count], total=total))


def _bounded_row(job: JobInfo) -> JobInfo:
    return job if len(job.command) <= 200 else msgspec.structs.replace(job, command=f"{job.command[:199]}…")


def _fitting(rows: list[str], lines: list[Any]) -> int:
    """Return how many jobs fit into an answer in both forms."""
    used = 0
    for index, (row, line) in enumerate(zip(rows, lines, strict=True)):
        used += max(cost(row) + 2, len(msgspec.json.encode(line)) + 1)
        if used > _LIST_BYTES:
            return index
    return len(rows)


async def kill(agent: Agent, arguments: Kill, progress: Progress | None) -> Answer:
    """End a job and all its processes, and say what that took. A job that is not known is an answer, not an error."""
    grace_s, said = _grace(agent, arguments)
    request = protocol.Kill(
        job=arguments.job_id, signal=arguments.signal or None, grace_s=grace_s, reason=arguments.reason
    )
    try:
        reply = await agent.daemon.call(request)
    except BgjobError as error:
        if error.code is not ErrorCode.NO_SUCH_JOB:
            raise
        unknown = explain(error)
        return Answer(f"not_found · {unknown}", KillResult(status="not_found", note=unknown))
    receipt = _bounded_receipt(reply.receipt, reply.job, said)
    return Answer(kill_line(reply.receipt, receipt.note), kill_result(receipt))


def _grace(agent: Agent, arguments: Kill) -> tuple[float | None, list[str]]:
    """Return the grace, within what one call of this client may last, and what could not be taken as it was."""
    most_s = agent.traits.max_wait_s - _KILL_TAKES_S
    if arguments.grace_s is None:
        return None, []
    if arguments.signal and arguments.signal.upper().removeprefix("SIG") not in ("KILL", "9"):
        return None, ["grace_s means nothing with signal: only that was sent"]
    if arguments.grace_s > most_s:
        return most_s, [f"grace_s was {arguments.grace_s:g}; the most is {most_s:g}, what one call may last"]
    return arguments.grace_s, []


def _bounded_receipt(receipt: Receipt, job: JobInfo, more: list[str]) -> Receipt:
    """Return a receipt that names so many processes at most, with all that there is to say in its note."""
    said = [receipt.note, *more] if receipt.note else more
    if receipt.status == "signalled":
        said.append(f"the job: {status_words(job)}")
    said += notes(job)
    if len(receipt.processes) > _PROCESSES:
        said.append(f"{len(receipt.processes) - _PROCESSES} of {len(receipt.processes)} processes are not listed")
    return msgspec.structs.replace(
        receipt,
        processes=receipt.processes[:_PROCESSES],
        survivors=receipt.survivors[:_PROCESSES],
        note="; ".join(said),
    )
