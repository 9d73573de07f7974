"""The daemon as the last subreaper: reaps what has no other parent, and remembers how it ended.

When a zygote is killed together with a runner, the job's processes become our children (PR_SET_CHILD_SUBREAPER). Their
exit statuses are worth keeping: they make the difference between `completed` and `lost`.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from typing import NamedTuple

import anyio

from bgjobd.daemon import liveness
from bgjobd.runner import system
from bgjobd.runner.records import RunRecord

logger = logging.getLogger("bgjobd.orphans")


_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 5.0  # all in all 5 s


class Seen(NamedTuple):
    """How a process ended, and who saw it."""

    status: int
    by: str
    utime_us: int = 0
    stime_us: int = 0
    max_rss_kib: int = 0


class Orphans:
    """Reaps every child of the daemon on SIGCHLD."""

    def __init__(self) -> None:
        self._waiting: dict[int, list[asyncio.Future[Seen]]] = {}
        self._callbacks: dict[int, Callable[[int], None]] = {}
        self._recent: dict[int, Seen] = {}  # ended before somebody asked; bounded
        self.on_signal: Callable[[], None] = lambda: None  # called after each SIGCHLD, whoever sent it
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._signalled)

    def on_exit(self, pid: int, callback: Callable[[int], None]) -> None:
        """Call back with the wait status of our own child `pid`."""
        self._callbacks[pid] = callback

    def _signalled(self) -> None:
        self.reap()
        self.on_signal()

    def reap(self) -> None:
        """Reap all children that have ended."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            seen = Seen(status, "daemon", int(usage.ru_utime * 1e6), int(usage.ru_stime * 1e6), usage.ru_maxrss)
            callback = self._callbacks.pop(pid, None)
            if callback is not None:
                callback(status)
                continue
            self._recent[pid] = seen
            while len(self._recent) > 1024:  # a zygote's whole brood may come to us at once
                self._recent.pop(next(iter(self._recent)))
            for future in self._waiting.pop(pid, []):
                if not future.done():
                    future.set_result(seen)

    async def wait_for_end(self, run: RunRecord, pidfd: int) -> Seen | None:
        """Wait until a job's main process has ended; return its status, None when nobody could see it.

        Args:
            run: says which process it is.
            pidfd: of that process, opened while it was known to be the right one; -1 when there is none.
        """
        self.reap()
        own = liveness.open_process(run.job_pid, run.job_start)
        if own is None and run.job_pid in self._recent:
            return self._recent[run.job_pid]
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Seen] = loop.create_future()
        self._waiting.setdefault(run.job_pid, []).append(future)
        try:
            if own is None:
                return await _from_pidfd(pidfd)
            ended: asyncio.Future[None] = loop.create_future()
            loop.add_reader(own, lambda: None if ended.done() else ended.set_result(None))
            waited_for: set[asyncio.Future[Seen] | asyncio.Future[None]] = {future, ended}
            await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
            self.reap()
            if future.done():
                return future.result()
            return await _from_pidfd(own)
        finally:
            if own is not None:
                loop.remove_reader(own)
                os.close(own)
            waiting = self._waiting.get(run.job_pid, [])
            if future in waiting:
                waiting.remove(future)
            if not waiting:
                self._waiting.pop(run.job_pid, None)


async def _from_pidfd(pidfd: int) -> Seen | None:
    """Ask the kernel how the process behind a pidfd ended (PIDFD_GET_INFO, Linux 6.15).

    It tells once the process was reaped, by whoever is its parent now: pid 1 may take a second or two, and nothing
    announces that.
    """
    if pidfd < 0:
        return None
    pause_s = _FIRST_PAUSE_S
    while (status := system.pidfd_status(pidfd)) is None and pause_s < _LONGEST_PAUSE_S:
        with anyio.move_on_after(pause_s):
            await anyio.sleep_forever()
        pause_s *= 2
    return None if status is None else Seen(status, "pidfd")
