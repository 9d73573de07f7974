"""Which processes belong to a test: found by its BGJOB_HOME, which every process of an instance carries.

A process that emptied its environment on purpose is not found this way; tests that make such processes prove their end
by a lock that each of them holds.
"""

import contextlib
import os
import signal
import sys
from dataclasses import dataclass

import psutil

from tests.helpers.waiting import wait_gone, wait_until


@dataclass(frozen=True, slots=True)
class Process:
    """A process as it was when looked at. `started` with the pid is its identity."""

    pid: int
    parent_pid: int
    started: float
    name: str
    state: str
    argv: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.pid} (parent {self.parent_pid}, {self.state}) {' '.join(self.argv) or f'[{self.name}]'}"


def processes_of(home: str) -> list[Process]:
    """Return the processes with this BGJOB_HOME in their environment or command line, except our own."""
    found = (_describe(pid) for pid in psutil.pids() if pid != os.getpid() and _belongs(pid, home))
    return [process for process in found if process is not None]


def children_of(pid: int) -> list[Process]:
    """Return the direct children of a process, zombies included."""
    try:
        children = psutil.Process(pid).children()
    except psutil.NoSuchProcess:
        return []
    return [child for child in map(_describe, (each.pid for each in children)) if child is not None]


def zombies_of(pid: int) -> list[Process]:
    """Return the children that a process has not reaped."""
    return [child for child in children_of(pid) if child.state == psutil.STATUS_ZOMBIE]


def descriptors_of(pid: int) -> dict[int, str]:
    """Return the open descriptors of a process and what they refer to. Linux only."""
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
    return found


def threads_of(pid: int) -> int:
    """Return how many threads a process has."""
    return psutil.Process(pid).num_threads()


def memory_of(pid: int) -> int:
    """Return the resident memory of a process in bytes."""
    return int(psutil.Process(pid).memory_info().rss)


def pss_bytes(pid: int) -> int:
    """Return the memory of a process with its share of what it shares. Linux only: smaps_rollup of proc(5)."""
    return _rolled_up(pid, "Pss:")


def private_bytes(pid: int) -> int:
    """Return the memory that is a process's alone. Linux only: smaps_rollup of proc(5)."""
    return _rolled_up(pid, "Private_Clean:", "Private_Dirty:")


def _rolled_up(pid: int, *names: str) -> int:
    lines = (line.split() for line in _read(f"/proc/{pid}/smaps_rollup").decode().splitlines())
    sizes = {words[0]: words[1] for words in lines}
    return sum(int(sizes[name]) for name in names) * 1024


def is_alive(pid: int) -> bool:
    """Say whether `pid` runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill_leftovers(processes: list[Process]) -> None:
    """Kill what a failed test left, each only if it still is the process that was seen."""
    for seen in processes:
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            process = psutil.Process(seen.pid)
            if process.create_time() == seen.started:
                process.send_signal(signal.SIGKILL)
                wait_gone(seen.pid)


def _belongs(pid: int, home: str) -> bool:
    """Say whether a process carries `home`. A zombie carries nothing any more: its parent is what counts."""
    if sys.platform.startswith("linux"):
        marker = b"BGJOB_HOME=" + os.fsencode(home) + b"\0"
        return marker in _read(f"/proc/{pid}/environ") or os.fsencode(home) in _read(f"/proc/{pid}/cmdline")
    try:
        process = psutil.Process(pid)
        return process.environ().get("BGJOB_HOME") == home or home in " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def _read(path: str) -> bytes:
    """Return the content of a file of /proc, empty when the process is gone or not ours."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.readall() or b""
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""


def _describe(pid: int) -> Process | None:
    """Look at one process; None when it is gone."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            zombie = process.status() == psutil.STATUS_ZOMBIE
            argv = () if zombie else tuple(process.cmdline())
            return Process(pid, process.ppid(), process.create_time(), process.name(), process.status(), argv)
    except psutil.NoSuchProcess:
        return None


def stop_process(pid: int) -> None:
    """SIGSTOP a process, and wait until it does nothing more; SIGCONT lets it go on."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, f"process {pid} to stop")
