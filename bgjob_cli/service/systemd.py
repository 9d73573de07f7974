"""The daemon as a service of `systemd --user`: a socket that is always there, and a service that it starts.

Sources: systemd.socket(5), systemd.service(5), systemd.kill(5), sd_listen_fds(3), sd_notify(3).
"""

import os

from bgjob_cli.service.activation import instance_name, unit_directory
from bgjob_cli.service.manager import ServiceFile, environment_to_keep, find_bgjobd, run_tool
from bgjobd.paths import Paths

__all__ = ["Systemd"]

_SOCKET = """\
[Unit]
Description=bgjob control socket
Documentation=man:systemd.socket(5)

[Socket]
ListenStream={socket}
SocketMode=0600
DirectoryMode=0700
# A socket that nobody listens on would look like a daemon that crashed.
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
"""

_SERVICE = """\
[Unit]
Description=bgjob daemon
Documentation=man:systemd.service(5)
Requires={name}.socket
After={name}.socket

[Service]
Type=notify
ExecStart={exec_start}
{environment}# Jobs belong to the user, not to the daemon: stopping or restarting the service ends the daemon only.
KillMode=process
# A job that runs out of memory is that job's end, not the daemon's, nor that of the jobs beside it.
OOMPolicy=continue
# All jobs live in this unit; what limits them is configured in bgjob.
TasksMax=infinity
Delegate=yes
# From systemd 254 on: the unit's own cgroup stays empty, so that its jobs can be limited as a whole.
DelegateSubgroup=daemon
Restart=on-failure
RestartSec=1s
# Another daemon runs already, or the configuration is wrong: neither gets better by trying again.
RestartPreventExitStatus=69 78

[Install]
Also={name}.socket
WantedBy=default.target
"""


class Systemd:
    """The units of one instance, and `systemctl --user`."""

    name = "systemd"

    def __init__(self, paths: Paths) -> None:
        unit = instance_name(paths)
        self._units = (f"{unit}.socket", f"{unit}.service")
        directory = unit_directory()
        environment = "".join(
            f"Environment={_quoted(f'{name}={value}')}\n" for name, value in environment_to_keep().items()
        )
        service = _SERVICE.format(
            name=unit, exec_start=_quoted(find_bgjobd()).replace("$", "$$") + " --foreground", environment=environment
        )
        texts = (_SOCKET.format(socket=_plain(paths.socket)), service)
        self.files = [
            ServiceFile(os.path.join(directory, name), text) for name, text in zip(self._units, texts, strict=True)
        ]

    def check(self) -> None:
        """Ask the manager of this user for anything."""
        _systemctl("show", "--property=Version")

    def stop(self) -> None:
        """Stop socket and service; the socket first, so that nobody starts the service again."""
        _systemctl("daemon-reload")
        _systemctl("stop", *self._units)

    def start(self) -> None:
        """Enable and start both; returns when the daemon says that it is ready."""
        _systemctl("enable", *self._units)
        _systemctl("start", *self._units)

    def forget(self) -> None:
        """Stop and disable both."""
        _systemctl("daemon-reload")
        _systemctl("disable", "--now", *self._units)

    def is_active(self) -> bool:
        """Return whether the socket listens: then the daemon is there, or comes when somebody connects."""
        return _systemctl("show", "--property=ActiveState", "--value", self._units[0]).strip() == "active"


def _systemctl(*words: str) -> str:
    return run_tool("systemctl", "--user", *words)


def _plain(text: str) -> str:
    """Return `text` for a setting that is taken as it stands, but for specifiers."""
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    """Return `text` as one word of a unit file (systemd.syntax(7), "Quoting")."""
    escaped = _plain(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
