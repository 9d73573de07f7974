"""submit, list_jobs, status, remove, prune."""

import functools
from collections.abc import Awaitable, Callable

import anyio
import anyio.to_thread
import msgspec

from bgjobd.daemon.asking import look, look_at_each, with_asking
from bgjobd.daemon.commands.table import Services
from bgjobd.daemon.job import ActiveJob, Phase
from bgjobd.daemon.listener import Connection
from bgjobd.daemon.processes import sample
from bgjobd.daemon.retention import MAX_NAMED
from bgjobd.daemon.supervisor import Supervisor
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.model.fitting import fitting
from bgjobd.model.reference import short_id
from bgjobd.protocol import (
    JobInfo,
    JobReply,
    JobsReply,
    JobStatus,
    ListJobs,
    Prune,
    Remove,
    RemoveReply,
    Status,
    Submit,
)
from bgjobd.store.job_view import place_of

MAX_LIST = 10_000  # jobs in one reply; a reply has to fit one frame
MANY = 200  # jobs in a reply; more than take a millisecond or two are gathered in a thread
MAX_SAMPLED = 100  # jobs of a list that are asked whether they wait for input; each costs a look into its processes


def submit(services: Services, connection: Connection, request: Submit) -> Callable[[], Awaitable[JobReply]]:
    """Start or queue a job, at once: a task of its own would have to wait for its turn. Return what answers."""
    job, replayed = services.supervisor.submit(request, connection.client, connection.restrictions)
    return functools.partial(_submitted, services.supervisor, job, replayed, request.wait_s)


async def _submitted(supervisor: Supervisor, job: ActiveJob | JobInfo, replayed: bool, wait_s: float) -> JobReply:
    """Answer when a job is started or queued; with `wait_s`, when it ends or the time is over."""
    if isinstance(job, JobInfo):
        return JobReply(job=job, replayed=replayed)
    await supervisor.until_started(job)
    with anyio.move_on_after(max(0.0, wait_s)):
        while not job.ended:
            await job.changed.wait()
    return JobReply(job=supervisor.info(job), replayed=replayed)


async def list_jobs(services: Services, connection: Connection, request: ListJobs) -> JobsReply:
    """Active jobs, then ended ones, each newest first."""
    supervisor = services.supervisor
    if not 0 <= request.limit <= MAX_LIST:
        raise BgjobError(
            ErrorCode.INVALID_ARGUMENT, f"cannot list limit = {request.limit} jobs: accepted is 0 to {MAX_LIST}"
        )
    active = [
        job
        for job in reversed(supervisor.active.values())
        if (request.ended or not job.ended) and _wanted(job, supervisor.status(job), request)
    ]
    active.sort(key=lambda job: job.ended)  # stable: newest first stays
    total = len(active)
    jobs = supervisor.infos(active[: request.limit])
    if request.ended:
        ended, count = await _ended(services, request)
        total += count
        jobs = [*jobs, *ended][: request.limit]
    if len(jobs) > MANY:
        jobs = await anyio.to_thread.run_sync(fitting, jobs)
    else:
        jobs = fitting(jobs)
    if request.sample_input:
        jobs[:MAX_SAMPLED] = await _with_asking(services, jobs[:MAX_SAMPLED])
    return JobsReply(jobs=jobs, total=total)


async def _ended(services: Services, request: ListJobs) -> tuple[list[JobInfo], int]:
    """Return the newest ended jobs that were asked for, and how many there are, without those that are active still.

    Many of them hold nobody else up.
    """
    supervisor = services.supervisor
    active = frozenset(supervisor.active)
    read = functools.partial(
        supervisor.history.newest_jobs,
        limit=request.limit,
        statuses=request.status,
        cwd=request.cwd,
        project=request.project,
        without=active,
    )
    if request.limit + len(active) <= MANY:
        return read()
    return await anyio.to_thread.run_sync(functools.partial(read, aside=True))


async def _with_asking(services: Services, infos: list[JobInfo]) -> list[JobInfo]:
    """Return the jobs, with whether each of the running ones waits for input."""
    active = services.supervisor.active
    asking = await look_at_each(services.supervisor, [active[info.job_id] for info in infos if info.job_id in active])
    return [with_asking(info, asking[info.job_id]) if info.job_id in asking else info for info in infos]


def _wanted(job: ActiveJob, status: JobStatus, request: ListJobs) -> bool:
    if request.status and status not in request.status:
        return False
    if not (request.cwd or request.project):
        return True
    cwd, project = place_of(job.spec)
    return (not request.cwd or cwd == request.cwd) and (not request.project or project == request.project)


async def status(services: Services, connection: Connection, request: Status) -> JobsReply:
    """What is known about some jobs; `details` samples their processes."""
    supervisor = services.supervisor
    found = [supervisor.find(reference) for reference in request.jobs]
    infos = []
    for job in found:
        info = supervisor.info(job) if isinstance(job, ActiveJob) else job
        if request.details and isinstance(job, ActiveJob) and job.phase in (Phase.RUNNING, Phase.LEFT):
            info = await _with_details(services, job, info)
        infos.append(info)
    return JobsReply(jobs=infos, total=len(infos))


async def _with_details(services: Services, job: ActiveJob, info: JobInfo) -> JobInfo:
    """Add processes, ports, cpu, memory, and whether it waits for input, sampled now."""
    assert job.run is not None
    facts = await anyio.to_thread.run_sync(sample, job.run.runner_pid)
    fields: dict[str, object] = {"processes": facts.processes, "ports": facts.ports}
    if job.phase is Phase.RUNNING:
        fields |= {"cpu_s": facts.cpu_s, "peak_rss_bytes": facts.peak_rss_bytes}
        info = with_asking(info, await look(services.supervisor, job))
    else:
        fields |= {"left_behind": facts.processes, "left_behind_count": len(facts.processes)}
    return msgspec.structs.replace(info, **fields)


async def remove(services: Services, connection: Connection, request: Remove) -> RemoveReply:
    """Forget ended jobs."""
    supervisor = services.supervisor
    infos = []
    for reference in request.jobs:
        job = supervisor.find(reference)
        if isinstance(job, ActiveJob):
            if job.phase < Phase.OVER:
                raise BgjobError(
                    ErrorCode.STILL_RUNNING,
                    f"cannot remove job {short_id(job.job_id)}: it is {supervisor.info(job).status}"
                    + (", and processes that it left behind go on" if job.phase is Phase.LEFT else ""),
                    f"`bgjob kill {short_id(job.job_id)}` first.",
                    {"job_id": job.job_id},
                )
            await services.recorder.drain_or_refuse(f"remove job {short_id(job.job_id)}")
            job = supervisor.info(job)
        infos.append(job)
    freed = await services.retention.remove([info.job_id for info in infos])
    return RemoveReply(jobs=fitting(infos[:MAX_NAMED]), total=len(infos), freed_bytes=freed)


async def prune(services: Services, connection: Connection, request: Prune) -> RemoveReply:
    """Forget ended jobs by age and number."""
    if request.keep is not None and request.keep < 0:
        raise BgjobError(ErrorCode.INVALID_ARGUMENT, f"cannot keep {request.keep} jobs: accepted is 0 or more")
    await services.recorder.drain()  # if the disk refuses, all the more
    return await services.retention.prune(request.older_than_s, request.keep, dry_run=request.dry_run)
