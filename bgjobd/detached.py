"""Start one of our own programs so that it outlives whoever starts it. Standard library only and few imports.

It runs in a session of its own, because a client's whole process group may be killed (MCP clients do), and is started
by way of a shell that is gone at once, so that it is nobody's child and leaves no zombie.
"""

import fcntl
import os
import signal
import sys
from collections.abc import Mapping, Sequence

__all__ = ["READY_FD", "start_detached"]

READY_FD = 3  # in the program: where `said_by_program` is
_MOVED_FD = 10  # a descriptor is moved out of the way of 0-3 before it is put there

# Puts the program in the background and is done. The shell's own name stands in $0.
_IN_BACKGROUND = b'"$@" &'


def start_detached(
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    stderr: str = os.devnull,
    said_by_program: int | None = None,
) -> None:
    """Run `python -m MODULE ARGUMENTS` with none of our descriptors and signal settings; return when it is on its way.

    Args:
        module: of ours; `-P` keeps the directory we happen to be in off its import path.
        arguments: of the module.
        environment: the program's whole environment.
        stderr: file that its standard error replaces; standard input and output are /dev/null.
        said_by_program: descriptor that it gets as READY_FD; ours stays open.

    Raises:
        OSError: there is no process, descriptor or file to be had.
    """
    moved = None if said_by_program is None else fcntl.fcntl(said_by_program, fcntl.F_DUPFD_CLOEXEC, _MOVED_FD)
    try:
        actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
            *((os.POSIX_SPAWN_CLOSE, fd) for fd in _inheritable_descriptors()),
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
            (os.POSIX_SPAWN_DUP2, 0, 1),
            (os.POSIX_SPAWN_OPEN, 2, stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600),
        ]
        if moved is not None:
            actions.append((os.POSIX_SPAWN_DUP2, moved, READY_FD))
        command = [sys.executable, "-P", "-m", module, *arguments]
        pid = os.posix_spawn(
            "/bin/sh",
            [b"sh", b"-c", _IN_BACKGROUND, b"bgjob-autostart", *map(os.fsencode, command)],
            environment,
            file_actions=actions,
            setsid=True,
            setsigmask=[],
            setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
        )
        os.waitpid(pid, 0)
    finally:
        if moved is not None:
            os.close(moved)


def _inheritable_descriptors() -> list[int]:
    """Return our descriptors above 2 that a new program would get: it would hold them for ever."""
    found = []
    for name in os.listdir("/dev/fd"):
        try:
            if int(name) > 2 and os.get_inheritable(int(name)):
                found.append(int(name))
        except OSError:
            continue  # the listing's own
    return found
