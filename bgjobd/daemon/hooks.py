"""What bgjob does for a person when a job has ended: the job's `on_exit`, the configured `on_exit`, a notification.

Hooks are children of the daemon in a session of their own, with the job's facts in their environment and /dev/null as
standard input and output. A hook that fails is logged; it never affects the job.
"""

import logging
import os
import shlex
import shutil
import sys
from collections.abc import Callable

from bgjobd.daemon.config import Settings
from bgjobd.model.reference import short_id
from bgjobd.protocol import JobInfo, JobStatus
from bgjobd.runner.records import Spec
from bgjobd.runner.spawn import ALL_SIGNALS

logger = logging.getLogger("bgjobd.hooks")

_COMMAND_BYTES = 64 << 10  # of a job's command, for a hook: one variable can have no more than 128 KiB (execve(2))


class Hooks:
    """Starts the commands that were asked for at a job's end."""

    def __init__(self, settings: Settings, on_child_exit: Callable[[int, Callable[[int], None]], None]) -> None:
        self._settings = settings
        self._on_child_exit = on_child_exit

    def ended(self, spec: Spec, info: JobInfo) -> None:
        """Start the hooks of a job that has just ended; returns at once."""
        hooks: list[tuple[bytes, bytes]] = []  # command, directory
        if spec.on_exit:
            hooks.append((spec.on_exit, spec.cwd))
        if self._settings.on_exit:
            hooks.append((self._settings.on_exit.encode(), spec.cwd))
        failed = info.status is not JobStatus.COMPLETED
        if self._settings.notify == "always" or (self._settings.notify == "failed" and failed):
            hooks.append((notification(info).encode(), b"/"))
        if not hooks:
            return  # most jobs have none: no environment for nothing
        environment = dict(entry.split(b"=", 1) for entry in spec.env) | hook_environment(info)
        for command, directory in hooks:
            if command:
                self._start(command, environment, directory, spec.umask, info)

    def _start(self, command: bytes, environment: dict[bytes, bytes], cwd: bytes, umask: int, info: JobInfo) -> None:
        # `cd` in the shell: posix_spawn has no working directory, and ours must stay `/`
        line = (
            b"umask %04o; cd " % umask
            + shlex.quote(os.fsdecode(cwd)).encode("utf-8", "surrogateescape")
            + b" 2>/dev/null; "
            + command
        )
        try:
            pid = os.posix_spawn(
                self._settings.shell,
                [self._settings.shell.encode(), b"-c", line],
                environment,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDWR, 0),
                    (os.POSIX_SPAWN_DUP2, 0, 1),
                    (os.POSIX_SPAWN_DUP2, 0, 2),
                ],
                setsid=True,
                setsigdef=ALL_SIGNALS,
                setsigmask=[],
            )
        except (OSError, ValueError) as error:  # ValueError: a NUL
            logger.error("cannot start a hook: job=%s reason=%s", info.job_id, error)
            return
        self._on_child_exit(pid, lambda status: self._done(info.job_id, status))

    def _done(self, job_id: str, status: int) -> None:
        if status:
            logger.warning("hook failed: job=%s wait_status=%s", job_id, status)


def hook_environment(info: JobInfo) -> dict[bytes, bytes]:
    """Return the facts that a hook sees: BGJOB_ID, BGJOB_NAME, BGJOB_STATUS, BGJOB_REASON, BGJOB_EXIT_CODE, …"""
    facts = {
        "BGJOB_ID": info.job_id,
        "BGJOB_NAME": info.name,
        "BGJOB_STATUS": info.status.value,
        "BGJOB_REASON": info.reason.value if info.reason else "",
        "BGJOB_EXIT_CODE": "" if info.exit_code is None else str(info.exit_code),
        "BGJOB_SIGNAL": info.signal or "",
        "BGJOB_COMMAND": info.command,
        "BGJOB_CWD": info.cwd,
        "BGJOB_STARTED": info.started or "",
        "BGJOB_ENDED": info.ended or "",
        "BGJOB_DURATION_S": "" if info.duration_s is None else str(info.duration_s),
        "BGJOB_OUTPUT_BYTES": str(info.output_bytes),
    }
    return {
        name.encode(): value.replace("\0", "").encode("utf-8", "replace")[:_COMMAND_BYTES]
        for name, value in facts.items()
    }


def notification(info: JobInfo) -> str:
    """Return the command line that shows a desktop notification here; empty where there is no notifier."""
    title = f"bgjob: {info.name or short_id(info.job_id)} {info.status}"
    body = info.command[:120]
    if sys.platform == "darwin" and shutil.which("osascript"):
        quoted = [text.replace("\\", "\\\\").replace('"', '\\"') for text in (body, title)]
        return shlex.join(["osascript", "-e", f'display notification "{quoted[0]}" with title "{quoted[1]}"'])
    if shutil.which("notify-send"):
        return shlex.join(["notify-send", "--app-name=bgjob", "--", title, body])
    return ""
