"""What both service managers have in common: what the daemon needs of them, their files, and running their tools."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import Protocol

from bgjobd.errors import BgjobError, ErrorCode

__all__ = ["ServiceFile", "ServiceManager", "environment_to_keep", "find_bgjobd", "run_tool"]

# What decides where the daemon's files are: the service has to agree with the clients. Settings belong in the file.
_KEPT_VARIABLES = ("BGJOB_HOME", "BGJOB_CONFIG", "XDG_STATE_HOME", "XDG_CONFIG_HOME")


@dataclass(frozen=True, slots=True)
class ServiceFile:
    """One file that tells the service manager about the daemon."""

    path: str
    text: str


class ServiceManager(Protocol):
    """A service manager, as `bgjob service` uses it."""

    name: str
    files: list[ServiceFile]

    def check(self) -> None:
        """Return when the manager can be talked to.

        Raises:
            BgjobError: DAEMON_UNREACHABLE: it is not there.
        """

    def stop(self) -> None:
        """Stop the service, and nothing else; jobs go on. Its files are written."""

    def start(self) -> None:
        """Start the service now and at every login."""

    def forget(self) -> None:
        """Stop the service and never start it again. Its files are deleted afterwards."""

    def is_active(self) -> bool:
        """Return whether the manager has started the service, or listens for it."""


def find_bgjobd() -> str:
    """Return the absolute path of the `bgjobd` that was installed together with this program.

    Raises:
        BgjobError: DAEMON_UNREACHABLE: there is none.
    """
    beside = [os.path.dirname(os.path.abspath(program)) for program in (sys.argv[0], sys.executable)]
    found = shutil.which("bgjobd", path=os.pathsep.join(beside)) or shutil.which("bgjobd")
    if found is None:
        raise BgjobError(
            ErrorCode.DAEMON_UNREACHABLE,
            f"cannot find 'bgjobd': it is neither in {beside[0]!r} nor in a directory of PATH",
            "Install bgjob again, so that its programs are together.",
        )
    return os.path.abspath(found)


def environment_to_keep() -> dict[str, str]:
    """Return the variables that lead the daemon to the same files as this process.

    Raises:
        BgjobError: INVALID_ARGUMENT: a value has a line break, which no unit file can hold.
    """
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if os.environ.get(name)}
    for name, value in kept.items():
        if not value.isprintable():
            raise BgjobError(
                ErrorCode.INVALID_ARGUMENT,
                f"cannot use {name}={value!r} in a service: it has control characters",
                "Use a path without them.",
            )
    return kept


def run_tool(*words: str) -> str:
    """Run a tool of the service manager to its end and return what it printed.

    Raises:
        BgjobError: DAEMON_UNREACHABLE: it is not there, or failed; with what it said.
    """
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError as error:
        raise _tool_failed(words, error.strerror or str(error)) from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise _tool_failed(words, said[0] if said else f"exit status {done.returncode}")
    return done.stdout


def _tool_failed(words: tuple[str, ...], reason: str) -> BgjobError:
    return BgjobError(
        ErrorCode.DAEMON_UNREACHABLE,
        f"cannot run {' '.join(words)!r}: {reason}",
        "See: bgjob daemon logs. Without a service the daemon starts by itself when it is needed.",
    )
