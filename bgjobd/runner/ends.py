"""Wakes up when processes end that are not our children: by pidfd, by kqueue, and where there is neither by a look."""

import os

from bgjobd.runner import system
from bgjobd.runner.loop import READABLE, Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_LOOK_AGAIN_S = 1.0  # only where the system has nothing better, and only while somebody is watched


class Ends:
    """The ends of some processes.

    Args:
        loop: where to wait.
        on_end: called when one of them may have ended.
    """

    def __init__(self, loop: Loop, on_end: "Callable[[], None]") -> None:
        self._loop = loop
        self._on_end = on_end
        self._fds: dict[int, int] = {}

    def watch(self, pid: int, *, keep: bool = False) -> None:
        """Call back when that process ends; once, however often it is asked for.

        Args:
            pid: the process.
            keep: its descriptor also after its end, for `status`.
        """
        if pid in self._fds:
            return
        fd = system.watch_end(pid)
        if fd is None:
            self._loop.set_timer("ends", _LOOK_AGAIN_S, self._on_end)
            return
        self._fds[pid] = fd
        self._loop.watch(fd, READABLE, lambda _events: self._ended(pid, keep=keep))

    def status(self, pid: int) -> int | None:
        """Return the raw wait status of an ended process that was watched and kept; None where nobody knows it."""
        fd = self._fds.get(pid)
        return None if fd is None else system.pidfd_status(fd)

    def is_watched(self, pid: int) -> bool:
        """Whether there is a descriptor for that process."""
        return pid in self._fds

    def _ended(self, pid: int, *, keep: bool) -> None:
        fd = self._fds[pid]
        self._loop.forget(fd)
        if not keep:
            os.close(fd)
            del self._fds[pid]
        self._on_end()
