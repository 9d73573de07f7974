"""A sample of a job's live processes: tree, cpu, memory, listening ports. Taken only when somebody asks."""

import sys
from typing import NamedTuple

import psutil  # noqa: TID253  # this file is imported only when somebody asks for a sample

from bgjobd.daemon.liveness import boot_time_ns
from bgjobd.protocol import ProcessInfo
from bgjobd.runner import system
from bgjobd.store.job_view import rfc3339, start_text

_MAX_COMMAND = 300


class Sample(NamedTuple):
    """What a job's processes are and use, now."""

    processes: list[ProcessInfo]
    ports: list[int]
    cpu_s: float
    peak_rss_bytes: int  # of all together, now: the kernel keeps no peak of a tree


def sample(runner_pid: int) -> Sample:
    """Look at all descendants of a runner, on Linux the whole job whatever it forked. Blocks: call in a thread."""
    looks = [found for process in _descendants(runner_pid) if (found := _info(process)) is not None]
    infos = [info for info, _ended_s in looks]
    cpu_s = sum(info.cpu_s + ended_s for info, ended_s in looks) + _ended_children_s(runner_pid)
    return Sample(
        processes=infos,
        ports=sorted({port for info in infos for port in info.ports}),
        cpu_s=round(cpu_s, 3),
        peak_rss_bytes=sum(info.rss_bytes for info in infos),
    )


def listening_ports(runner_pid: int) -> set[int]:
    """Return the TCP ports that the job's processes listen on. Blocks; call in a thread."""
    return {port for info in sample(runner_pid).processes for port in info.ports}


def _ended_children_s(runner_pid: int) -> float:
    """Return the processor time of those whom the runner has reaped: orphans, and who was killed."""
    try:
        times = psutil.Process(runner_pid).cpu_times()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0.0
    return times.children_user + times.children_system


def _descendants(pid: int) -> list[psutil.Process]:
    """Return the processes below `pid`, parents before their children.

    On Linux the kernel lists the children of a process. psutil reads every process of the machine instead, which took
    35 ms of the 45 ms of a sample with 200 of them.
    """
    if not sys.platform.startswith("linux"):
        try:
            return psutil.Process(pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
    pids = dict.fromkeys(system.children(pid, threads=True))
    queue = list(pids)
    for parent in queue:  # grows meanwhile
        below = [child for child in system.children(parent, threads=True) if child not in pids]
        pids |= dict.fromkeys(below)
        queue += below
    return [process for child in pids if (process := _process(child)) is not None]


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:  # ended while we looked
        return None


def _info(process: psutil.Process) -> tuple[ProcessInfo, float] | None:
    """Return one process, and the processor time of its children that have ended; None when it ended while we looked.

    The kernel adds the time of a process to whoever waited for it (times(2)).
    """
    try:
        with process.oneshot():
            times = process.cpu_times()
            info = ProcessInfo(
                pid=process.pid,
                parent_pid=process.ppid(),
                name=_clean(process.name()),
                command=_clean(" ".join(process.cmdline()))[:_MAX_COMMAND],
                started=_started(process),
                state=process.status(),
                cpu_s=round(times.user + times.system, 3),
                rss_bytes=process.memory_info().rss,
                ports=_ports(process),
            )
            return info, times.children_user + times.children_system
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:  # a set-uid program: it is ours, but we may not look into it
        return ProcessInfo(pid=process.pid, name=_clean(process.name())), 0.0


def _started(process: psutil.Process) -> str:
    """Return when a process started. From the kernel where it tells: psutil knows the boot to the second only."""
    ticks = system.start_time(process.pid)
    return start_text(ticks, boot_time_ns()) if ticks else rfc3339(int(process.create_time() * 1e9)) or ""


def _ports(process: psutil.Process) -> list[int]:
    try:
        connections = process.net_connections(kind="tcp")
    except (psutil.AccessDenied, psutil.NoSuchProcess, OSError):
        return []
    return sorted({c.laddr.port for c in connections if c.status == psutil.CONN_LISTEN and c.laddr})


def _clean(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
