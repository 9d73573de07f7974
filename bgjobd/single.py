"""One process of a kind for each instance: whoever holds the lock. Standard library only and few imports."""

import fcntl
import os

from bgjobd.errors import BgjobError, ErrorCode

__all__ = ["holder_of", "take_lock"]

_LONGEST_PID_BYTES = 32


def take_lock(path: str, kind: str) -> int:
    """Become the one `kind` of this instance; return the descriptor that holds the lock.

    The lock is flock(2): the kernel releases it when we die, however we die, so a stale one cannot exist. The file
    holds our pid as text.

    Raises:
        BgjobError: LIMIT_EXCEEDED when another one has it; STORAGE when the file cannot be opened.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise BgjobError(
            ErrorCode.STORAGE, f"cannot open {path!r}: {error.strerror}", "Check the permissions."
        ) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(fd, _LONGEST_PID_BYTES).decode("ascii", "replace").strip()
        os.close(fd)
        raise BgjobError(
            ErrorCode.LIMIT_EXCEEDED, f"another {kind} is running (pid {holder or 'unknown'})", "Only one is needed."
        ) from None
    os.ftruncate(fd, 0)
    os.write(fd, b"%d\n" % os.getpid())
    return fd


def holder_of(path: str) -> int:
    """Return the pid of whoever took the lock at `path` last. That is its holder for as long as it is held.

    Raises:
        OSError: nobody ever took it, or it cannot be read.
        ValueError: there is no pid in it: it is just being taken. Zero and below would address groups of processes.
    """
    with open(path, "rb") as lock:
        pid = int(lock.read(_LONGEST_PID_BYTES))
    if pid < 1:
        raise ValueError(f"{pid} is no pid")
    return pid
