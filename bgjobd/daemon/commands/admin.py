"""daemon_status, get_settings, shutdown, ping: about the daemon itself."""

import os
import time

import anyio

from bgjobd.daemon.cgroup import limits_whole_jobs
from bgjobd.daemon.commands.kill import kill
from bgjobd.daemon.commands.table import Services
from bgjobd.daemon.config import Settings, description
from bgjobd.daemon.job import ActiveJob, Phase
from bgjobd.daemon.listener import Connection
from bgjobd.errors import BgjobError
from bgjobd.protocol import (
    DaemonStatus,
    DaemonStatusReply,
    Empty,
    GetSettings,
    Kill,
    Ping,
    SettingsReply,
    SettingValue,
    Shutdown,
)
from bgjobd.store.job_view import rfc3339
from bgjobd.version import PROTOCOL_MAJOR, PROTOCOL_MINOR, VERSION


def daemon_status(services: Services, connection: Connection, request: DaemonStatus) -> DaemonStatusReply:
    """What the daemon says about itself."""
    import psutil

    supervisor = services.supervisor
    counts = dict(supervisor.history.counts_by_status())
    for job in supervisor.active.values():
        if not supervisor.history.has_id(job.job_id):
            status = supervisor.status(job).value
            counts[status] = counts.get(status, 0) + 1
    return DaemonStatusReply(
        pid=os.getpid(),
        version=VERSION,
        protocol=f"{PROTOCOL_MAJOR}.{PROTOCOL_MINOR}",
        socket=services.paths.socket,
        state_dir=services.paths.state_dir,
        uptime_s=round(time.monotonic() - services.started_monotonic, 3),
        started=rfc3339(services.started_ns) or "",
        zygote_pid=supervisor.zygote.pid if supervisor.zygote else 0,
        jobs=counts,
        clients=len(services.connections),
        rss_bytes=psutil.Process().memory_info().rss,
        cgroups=_cgroups(supervisor.cgroup),
        warnings=_warnings(services),
    )


def _cgroups(parent: str | None) -> str:
    if parent is None:
        return "none"
    return "memory" if limits_whole_jobs(parent) else "kill"


def _warnings(services: Services) -> list[str]:
    warnings = [f"the directory of job {job_id} is damaged; see `bgjob doctor`" for job_id in services.adoption.damaged]
    if services.recorder.trouble:
        warnings.append(f"the history cannot be written at the moment, nothing is lost: {services.recorder.trouble}")
    warnings += services.supervisor.history.warnings
    return warnings


def get_settings(services: Services, connection: Connection, request: GetSettings) -> SettingsReply:
    """The effective settings, and where each comes from."""
    loaded = services.loaded
    return SettingsReply(
        settings=[
            SettingValue(
                key=key,
                value=getattr(loaded.settings, key),
                source=loaded.sources[key],
                description=description(key),
            )
            for key in Settings.__struct_fields__
        ]
    )


async def shutdown(services: Services, connection: Connection, request: Shutdown) -> Empty:
    """Stop the daemon once the answer is out. Jobs go on, unless they are to be killed first."""
    services.supervisor.stopping = True
    if request.kill_jobs:
        try:
            async with anyio.create_task_group() as tasks:
                for job in list(services.supervisor.active.values()):
                    if job.phase < Phase.OVER:
                        tasks.start_soon(_kill, services, connection, job)
        except BaseException:  # a job cannot be killed, or whoever asked has gone
            services.supervisor.go_on()
            raise
    services.stop.set()
    return Empty()


async def _kill(services: Services, connection: Connection, job: ActiveJob) -> None:
    try:
        await kill(services, connection, Kill(job=job.job_id, reason="the daemon was stopped with --kill-jobs"))
    except BgjobError as error:
        raise BgjobError(error.code, f"cannot stop: {error.message}", error.hint, error.details) from error


def ping(services: Services, connection: Connection, request: Ping) -> Empty:
    """Nothing: for measuring."""
    return Empty()
