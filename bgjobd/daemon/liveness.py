"""Is that process, or that runner, still there? Answers that a reused pid cannot fool."""

import fcntl
import os
import time

from bgjobd.runner import system


def open_process(pid: int, start: int) -> int | None:
    """Return a pidfd of the process `pid` that started at `start`; None when it is gone, or there are no pidfds here.

    Args:
        pid: a process id from a record.
        start: its start time in kernel ticks since boot; 0: not known, any process will do.
    """
    if pid <= 0:
        return None
    pidfd = system.open_pidfd(pid)
    if pidfd is None:
        return None
    # The order makes it safe: once the pidfd is open the pid cannot change hands unnoticed.
    found = system.process(pid)
    if found is None or (start and found.start != start) or found.state in ("Z", "X"):
        os.close(pidfd)
        return None
    return pidfd


def has_pidfds() -> bool:
    """Return whether this system has pidfds (Linux 5.3)."""
    return system.LINUX


def is_running(pid: int, start: int) -> bool:
    """Return whether the process `pid` that started at `start` is there and not a zombie."""
    found = system.process(pid) if pid > 0 else None
    return found is not None and (not start or found.start == start) and found.state not in ("Z", "X")


def is_locked(path: str) -> bool:
    """Return whether another process holds flock(2) on `path`.

    Takes a shared lock for an instant: who wants the lock for itself must try more than once.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def boot_time_ns() -> int:
    """Return the unix time at which kernel ticks were 0, with the wall clock as it stands now; 0 where not known."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return 0 if clock is None else time.time_ns() - time.clock_gettime_ns(clock)
