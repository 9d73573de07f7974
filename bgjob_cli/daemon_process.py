"""Stopping the daemon and knowing that it is gone. Never signals a process whose identity was not verified."""

import fcntl
import os
import select
import signal
import time

from bgjob_cli.connection import ANSWERS_WITHIN_S, Daemon
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.paths import Paths
from bgjobd.protocol import DaemonStatus, Shutdown
from bgjobd.single import holder_of

__all__ = ["stop_daemon"]

_STOPS_WITHIN_S = 15.0
_STOPS_WITH_JOBS_WITHIN_S = 120.0  # every job may take its grace
_PROBE_S = 0.02


def stop_daemon(paths: Paths, *, kill_jobs: bool = False) -> int | None:
    """Stop the daemon and return its pid once it is gone; None when there was none.

    Args:
        paths: of which instance.
        kill_jobs: end every job first; otherwise they go on.

    Raises:
        BgjobError: DAEMON_UNREACHABLE: it does not go away; VERSION_MISMATCH, DAEMON_SILENT: it cannot be told to kill
            jobs.
    """
    try:
        with Daemon(autostart=False, paths=paths, timeout_s=ANSWERS_WITHIN_S) as daemon:
            process = _Process(daemon.call(DaemonStatus(), repeat=False).pid)
            _ask_to_stop(daemon, kill_jobs)
    except BgjobError as error:
        if error.code is ErrorCode.SHUTTING_DOWN:  # somebody else has told it already
            process = _owner_of_lock(paths)
        elif error.code in (ErrorCode.VERSION_MISMATCH, ErrorCode.DAEMON_SILENT) and not kill_jobs:
            process = _owner_of_lock(paths)
            process.terminate()
        elif error.code in (ErrorCode.DAEMON_UNREACHABLE, ErrorCode.CONNECTION_LOST):
            return None
        else:
            raise
    return process.wait(_STOPS_WITH_JOBS_WITHIN_S if kill_jobs else _STOPS_WITHIN_S)


def _ask_to_stop(daemon: Daemon, kill_jobs: bool) -> None:
    try:
        daemon.call(Shutdown(kill_jobs=kill_jobs), repeat=False)
    except BgjobError as error:
        # It may be gone before its answer is out; that it is gone is what counts, and is waited for.
        if error.code not in (ErrorCode.CONNECTION_LOST, ErrorCode.SHUTTING_DOWN):
            raise


def _owner_of_lock(paths: Paths) -> "_Process":
    """Return the daemon that holds the lock: the pid in the file is right while the lock is held.

    Raises:
        BgjobError: DAEMON_UNREACHABLE: nobody holds it.
    """
    try:
        process = _Process(holder_of(paths.daemon_lock))
        with open(paths.daemon_lock, encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return process  # held after we had its pidfd: so that process is the one
    except (OSError, ValueError) as error:
        raise _no_daemon(str(error)) from error
    raise _no_daemon("its lock is free")


def _no_daemon(reason: str) -> BgjobError:
    return BgjobError(
        ErrorCode.DAEMON_UNREACHABLE, f"cannot find the daemon's process: {reason}", "See: bgjob daemon status"
    )


class _Process:
    """One process, held by a pidfd where the system has them, so that it is still the same one later."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._pidfd: int | None = None
        if hasattr(os, "pidfd_open"):
            try:
                self._pidfd = os.pidfd_open(pid)
            except ProcessLookupError:
                pass  # gone already, which `wait` finds out as well

    def terminate(self) -> None:
        """Ask it to end."""
        if self._pidfd is not None:
            signal.pidfd_send_signal(self._pidfd, signal.SIGTERM)
        else:
            os.kill(self.pid, signal.SIGTERM)

    def wait(self, timeout_s: float) -> int:
        """Return its pid once it is gone.

        Raises:
            BgjobError: DAEMON_UNREACHABLE when it is still there after `timeout_s` seconds.
        """
        if self._pidfd is None:
            gone = self._probe_until(time.monotonic() + timeout_s)
        else:
            gone = bool(select.select([self._pidfd], [], [], timeout_s)[0])
            os.close(self._pidfd)
        if not gone:
            raise BgjobError(
                ErrorCode.DAEMON_UNREACHABLE,
                f"cannot stop the daemon: pid {self.pid} is still there after {timeout_s:.0f} s",
                f"See what it does: bgjob daemon logs. To end it, jobs go on: kill -KILL {self.pid}",
            )
        return self.pid

    def _probe_until(self, deadline: float) -> bool:
        """Look until it is gone, where nothing tells us (no pidfd: other systems than Linux)."""
        while time.monotonic() < deadline:
            try:
                os.kill(self.pid, 0)
            except ProcessLookupError:
                return True
            time.sleep(_PROBE_S)  # noqa: TID251  # there is nothing to wait on
        return False
