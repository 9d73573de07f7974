"""The daemon as an agent of launchd: started at login, and again when it crashes.

There is no socket activation here: launchd hands sockets over through a C function only. Source: launchd.plist(5).
"""

import os
import plistlib
from typing import Any

from bgjob_cli.service.activation import instance_name
from bgjob_cli.service.manager import ServiceFile, environment_to_keep, find_bgjobd, run_tool
from bgjobd.errors import BgjobError
from bgjobd.paths import Paths

__all__ = ["Launchd"]


class Launchd:
    """The agent of one instance, and `launchctl`."""

    name = "launchd"

    def __init__(self, paths: Paths) -> None:
        label = instance_name(paths)
        self._domain = f"gui/{os.geteuid()}"
        self._target = f"{self._domain}/{label}"
        path = os.path.join(os.path.expanduser("~"), "Library", "LaunchAgents", f"{label}.plist")
        self.files = [ServiceFile(path, plistlib.dumps(_agent(label, paths)).decode())]

    def check(self) -> None:
        """Ask for the domain of this user's session: there is none in a plain ssh login."""
        run_tool("launchctl", "print", self._domain)

    def stop(self) -> None:
        """Unload the agent, if it is loaded."""
        if self.is_active():
            run_tool("launchctl", "bootout", self._target)

    def start(self) -> None:
        """Load the agent, which starts it; the file in its place loads it at every login."""
        run_tool("launchctl", "bootstrap", self._domain, self.files[0].path)

    def forget(self) -> None:
        """Unload the agent; without its file it is not loaded again."""
        self.stop()

    def is_active(self) -> bool:
        """Return whether the agent is loaded."""
        try:
            run_tool("launchctl", "print", self._target)
        except BgjobError:
            return False
        return True


def _agent(label: str, paths: Paths) -> dict[str, Any]:
    return {
        "Label": label,
        "ProgramArguments": [find_bgjobd()],
        "EnvironmentVariables": environment_to_keep(),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        # Jobs belong to the user, not to the daemon: unloading the agent ends the daemon only.
        "AbandonProcessGroup": True,
        # Without it macOS slows down the daemon, and the jobs that it starts, as background work.
        "ProcessType": "Interactive",
        "StandardErrorPath": os.path.join(paths.state_dir, "bgjobd.start.log"),
    }
