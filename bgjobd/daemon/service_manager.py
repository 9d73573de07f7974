"""What a service manager and the daemon tell each other: a socket that is open already, and readiness.

The protocols are systemd's: sd_listen_fds(3) and sd_notify(3). Both are a few lines on a documented wire, and the
libraries for them want the C library of systemd or are no longer kept.
"""

import os
import socket
from collections.abc import MutableMapping

_FIRST_FD = 3  # SD_LISTEN_FDS_START


def inherited_socket(environment: MutableMapping[str, str] | None = None) -> socket.socket | None:
    """Return the listening socket that the service manager opened for us, None when there is none.

    Called once, before any other process is started: the descriptor and the variables are taken, so that nothing that
    we start inherits them.
    """
    env = os.environ if environment is None else environment
    pid, count = env.pop("LISTEN_PID", ""), env.pop("LISTEN_FDS", "")
    env.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdigit() or int(count) < 1:
        return None
    given = socket.socket(fileno=os.dup(_FIRST_FD))
    os.close(_FIRST_FD)
    return given


class Notifier:
    """Tells the service manager how we are; silent where there is none."""

    def __init__(self, environment: MutableMapping[str, str] | None = None) -> None:
        env = os.environ if environment is None else environment
        self._address = env.pop("NOTIFY_SOCKET", "")  # not for our jobs: they are not the service

    def say(self, state: str) -> None:
        """Send e.g. `READY=1` or `STOPPING=1`. A manager that does not listen is no reason to fail."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            try:
                link.sendto(state.encode(), address)
            except OSError:
                return
