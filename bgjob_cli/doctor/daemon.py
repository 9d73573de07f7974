"""Checks of the daemon: whether it runs, answers, and is the version that it should be. Never starts one."""

import shlex
import sys
from collections.abc import Iterator

from bgjob_cli.connection import ANSWERS_WITHIN_S
from bgjob_cli.doctor.findings import Finding, fail, ok, warn
from bgjob_cli.service.activation import is_only_a_socket
from bgjobd.client import Client, connect
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.paths import Paths
from bgjobd.protocol import ClientInfo, DaemonStatus, GetSettings, SettingValue
from bgjobd.version import VERSION

__all__ = ["check_daemon", "effective_settings"]


def check_daemon(paths: Paths) -> Iterator[Finding]:
    """Ask the daemon how it is."""
    if is_only_a_socket(paths):
        yield ok("daemon", "not running; systemd starts it when somebody connects")
        return
    try:
        with _connected(paths) as daemon:
            reply = daemon.call(DaemonStatus())
    except BgjobError as error:
        yield _without_answer(error, paths)
        return
    if reply.version == VERSION:
        yield ok("daemon", f"version {reply.version}, pid {reply.pid}")
    else:
        yield warn(
            "daemon", f"version {reply.version}, while this is {VERSION}", "bgjob daemon restart (jobs keep running)"
        )
    if sys.platform == "linux":
        yield _cgroups(reply.cgroups)
    for warning in reply.warnings:
        yield warn("daemon", warning, "See: bgjob daemon logs")


def _cgroups(able_to: str) -> Finding:
    """Say what jobs have of cgroups. The daemon knows: a service has others than this session."""
    match able_to:
        case "memory":
            return ok("cgroups", "a job's tree can be killed in one step, and the memory of a whole job be limited")
        case "kill":
            return ok("cgroups", "a job's tree can be killed in one step; memory is limited for each process alone")
    return warn(
        "cgroups",
        "not available: trees are killed by walking them, and memory is limited for each process alone",
        "Not needed, a fork bomb is ended less surely. With systemd 254 or newer, to have them: bgjob service install",
    )


def _connected(paths: Paths) -> Client:
    return connect(paths, autostart=False, client=ClientInfo(kind="cli", version=VERSION), timeout_s=ANSWERS_WITHIN_S)


def _without_answer(error: BgjobError, paths: Paths) -> Finding:
    if error.code is ErrorCode.DAEMON_SILENT:
        return fail("daemon", error.message, f"End it, jobs go on: kill -KILL $(cat {shlex.quote(paths.daemon_lock)})")
    if error.code is ErrorCode.DAEMON_UNREACHABLE:
        return ok("daemon", "not running; it starts when it is needed")
    return fail("daemon", error.message, error.hint or "bgjob daemon restart (jobs keep running)")


def effective_settings(paths: Paths) -> list[SettingValue]:
    """Return the settings the daemon works with, and where each comes from; empty when no daemon runs.

    Raises:
        BgjobError: a daemon runs but does not say; the check of the daemon has the reason.
    """
    if is_only_a_socket(paths):
        return []
    try:
        with _connected(paths) as daemon:
            return daemon.call(GetSettings()).settings
    except BgjobError as error:
        if error.code is ErrorCode.DAEMON_UNREACHABLE:
            return []
        raise
