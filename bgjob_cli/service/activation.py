"""Whether connecting would start a daemon: where systemd holds the control socket, asking is starting.

What only looks (`daemon status`, `doctor`, a Tab) or stops must find that out before it connects. Light: few imports.
"""

import hashlib
import os

from bgjobd.paths import Paths
from bgjobd.single import holder_of

__all__ = ["instance_name", "is_only_a_socket", "unit_directory"]

# Where a packager or an administrator puts units of all users (systemd.unit(5)).
_SYSTEM_DIRECTORIES = ("/etc/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user")


def is_only_a_socket(paths: Paths) -> bool:
    """Return whether systemd listens for a daemon that does not run. When in doubt, it runs."""
    socket_unit = f"{instance_name(paths)}.socket"
    directories = (unit_directory(), *_SYSTEM_DIRECTORIES)
    installed = any(os.path.exists(os.path.join(directory, socket_unit)) for directory in directories)
    return installed and not _daemon_runs(paths)


def instance_name(paths: Paths) -> str:
    """Return the service's name: `bgjobd`, and for an instance that BGJOB_HOME selects one of its own."""
    if not os.environ.get("BGJOB_HOME"):
        return "bgjobd"
    return "bgjobd-" + hashlib.sha256(os.fsencode(paths.state_dir)).hexdigest()[:8]


def unit_directory() -> str:
    """Return where units of a user are kept (systemd.unit(5))."""
    config = os.environ.get("XDG_CONFIG_HOME", "")
    config = config if os.path.isabs(config) else os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(config, "systemd", "user")


def _daemon_runs(paths: Paths) -> bool:
    """Return whether the process that the lock file names holds an exclusive flock(2) lock (proc_locks(5)).

    Only looks: taking the lock for a moment, to see whether it is free, would turn away a daemon that is starting. The
    inode is not compared: some file systems show another one there.
    """
    try:
        pid = str(holder_of(paths.daemon_lock))
    except FileNotFoundError:
        return False  # there was never one
    except (OSError, ValueError):
        return True
    try:
        with open("/proc/locks", encoding="ascii") as locks:
            return any(line.split()[1:5] == ["FLOCK", "ADVISORY", "WRITE", pid] for line in locks)
    except OSError:
        return True
