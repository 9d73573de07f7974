"""Checks of the daemon: whether it runs, answers, and is the version that it should be. Never starts one."""

from collections.abc import Iterator

from bgjob_cli.connection import Daemon
from bgjob_cli.doctor.findings import Finding, fail, ok, warn
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.paths import Paths
from bgjobd.protocol import DaemonStatus, GetSettings, SettingValue
from bgjobd.version import VERSION

__all__ = ["check_daemon", "effective_settings"]


def check_daemon(paths: Paths) -> Iterator[Finding]:
    """Ask the daemon how it is."""
    try:
        with Daemon(autostart=False, paths=paths) as daemon:
            reply = daemon.call(DaemonStatus(), repeat=False)
    except BgjobError as error:
        yield _without_answer(error)
        return
    if reply.version == VERSION:
        yield ok("daemon", f"version {reply.version}, pid {reply.pid}")
    else:
        yield warn(
            "daemon", f"version {reply.version}, while this is {VERSION}", "bgjob daemon restart (jobs keep running)"
        )
    for warning in reply.warnings:
        yield warn("daemon", warning, "See: bgjob daemon logs")


def _without_answer(error: BgjobError) -> Finding:
    if error.code is ErrorCode.DAEMON_UNREACHABLE:
        return ok("daemon", "not running; it starts when it is needed")
    return fail("daemon", error.message, error.hint or "bgjob daemon restart (jobs keep running)")


def effective_settings(paths: Paths) -> list[SettingValue]:
    """Return the settings the daemon works with, and where each comes from; empty when no daemon runs.

    Raises:
        BgjobError: a daemon runs but does not say; the check of the daemon has the reason.
    """
    try:
        with Daemon(autostart=False, paths=paths) as daemon:
            return daemon.call(GetSettings(), repeat=False).settings
    except BgjobError as error:
        if error.code is ErrorCode.DAEMON_UNREACHABLE:
            return []
        raise
