"""task_create, task_get, task_cancel: waits that are collected later, by whoever knows their id."""

import functools

import msgspec

from bgjobd.daemon.commands.table import Services
from bgjobd.daemon.commands.wait import check, wait
from bgjobd.daemon.job import ActiveJob
from bgjobd.daemon.listener import Connection
from bgjobd.daemon.tasks import Evaluate, TaskRecord
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.protocol import (
    JobInfo,
    TaskCancel,
    TaskCreate,
    TaskGet,
    TaskInfo,
    TaskReply,
    TaskStatus,
    Wait,
)
from bgjobd.store.job_view import rfc3339
from bgjobd.store.logs import LogReader

MAX_CONTEXT_BYTES = 64 << 10
MAX_TTL_S = 366 * 86_400.0


def task_create(services: Services, connection: Connection, request: TaskCreate) -> TaskReply:
    """Begin a wait and answer with its task."""
    if not 0 < request.ttl_s <= MAX_TTL_S:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT, f"cannot keep a task for {request.ttl_s:g} s: accepted is up to {MAX_TTL_S:g}"
        )
    if len(request.context) > MAX_CONTEXT_BYTES:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT,
            f"cannot keep a context of {len(request.context)} bytes: accepted is up to {MAX_CONTEXT_BYTES}",
        )
    check(request.wait)
    record = services.tasks.create(
        _settled(services, request.wait),
        ttl_s=request.ttl_s,
        context=request.context,
        evaluate=_evaluate(services, connection),
    )
    return _reply(services, record)


def task_get(services: Services, connection: Connection, request: TaskGet) -> TaskReply:
    """Say how a task is."""
    return _reply(services, services.tasks.get(request.task_id, _evaluate(services, connection)))


def task_cancel(services: Services, connection: Connection, request: TaskCancel) -> TaskReply:
    """End the wait of a task."""
    return _reply(services, services.tasks.cancel(request.task_id))


def _evaluate(services: Services, connection: Connection) -> Evaluate:
    return functools.partial(wait, services, connection)


def _settled(services: Services, request: Wait) -> Wait:
    """Return the wait for jobs by their full ids, with a cursor for each: it has to mean the same after a restart."""
    since: dict[str, int] = {}
    for reference in request.jobs:
        job = services.supervisor.find(reference)
        end = LogReader(job.log_dir).end() if isinstance(job, ActiveJob) else job.output_bytes
        since[job.job_id] = request.since.get(job.job_id, end)
    return msgspec.structs.replace(request, jobs=list(since), since=since)


def _reply(services: Services, record: TaskRecord | None) -> TaskReply:
    if record is None:
        return TaskReply()
    working = record.status is TaskStatus.WORKING
    return TaskReply(
        task=TaskInfo(
            task_id=record.task_id,
            status=record.status,
            created=rfc3339(record.created_ns) or "",
            updated=rfc3339(record.updated_ns) or "",
            ttl_s=(record.expires_ns - record.created_ns) / 1e9,
            context=record.context,
            jobs=_now(services, record.wait.jobs) if working else [],
            result=record.result,
            error=record.error,
        )
    )


def _now(services: Services, job_ids: list[str]) -> list[JobInfo]:
    """Return how jobs are; without those that were removed meanwhile, which the wait is about to say."""
    found = []
    for job_id in job_ids:
        try:
            job = services.supervisor.find(job_id)
        except BgjobError:
            continue
        found.append(services.supervisor.info(job) if isinstance(job, ActiveJob) else job)
    return found
