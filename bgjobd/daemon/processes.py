"""A sample of a job's live processes: tree, cpu, memory, listening ports. Taken only when somebody asks."""

from typing import NamedTuple

import psutil  # noqa: TID253  # this file is imported only when somebody asks for a sample

from bgjobd.protocol import ProcessInfo
from bgjobd.store.job_view import rfc3339

_MAX_COMMAND = 300


class Sample(NamedTuple):
    """What a job's processes are and use, now."""

    processes: list[ProcessInfo]
    ports: list[int]
    cpu_s: float
    peak_rss_bytes: int  # of all together, now: the kernel keeps no peak of a tree


def sample(runner_pid: int) -> Sample:
    """Look at all descendants of a runner, on Linux the whole job whatever it forked. Blocks: call in a thread."""
    try:
        processes = psutil.Process(runner_pid).children(recursive=True)
    except psutil.NoSuchProcess:
        processes = []
    infos = [info for process in processes if (info := _info(process)) is not None]
    return Sample(
        processes=infos,
        ports=sorted({port for info in infos for port in info.ports}),
        cpu_s=round(sum(info.cpu_s for info in infos), 3),
        peak_rss_bytes=sum(info.rss_bytes for info in infos),
    )


def listening_ports(runner_pid: int) -> set[int]:
    """Return the TCP ports that the job's processes listen on. Blocks; call in a thread."""
    return {port for info in sample(runner_pid).processes for port in info.ports}


def _info(process: psutil.Process) -> ProcessInfo | None:
    """Return one process; None when it ended while we looked."""
    try:
        with process.oneshot():
            times = process.cpu_times()
            return ProcessInfo(
                pid=process.pid,
                parent_pid=process.ppid(),
                name=_clean(process.name()),
                command=_clean(" ".join(process.cmdline()))[:_MAX_COMMAND],
                started=rfc3339(int(process.create_time() * 1e9)) or "",
                state=process.status(),
                cpu_s=round(times.user + times.system, 3),
                rss_bytes=process.memory_info().rss,
                ports=_ports(process),
            )
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:  # a set-uid program: it is ours, but we may not look into it
        return ProcessInfo(pid=process.pid, name=_clean(process.name()))


def _ports(process: psutil.Process) -> list[int]:
    try:
        connections = process.net_connections(kind="tcp")
    except (psutil.AccessDenied, psutil.NoSuchProcess, OSError):
        return []
    return sorted({c.laddr.port for c in connections if c.status == psutil.CONN_LISTEN and c.laddr})


def _clean(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
