"""Where jobs can have a cgroup v2 leaf of their own: probed once at the start, used if it works, never required.

A leaf makes killing a tree certain and quick, also for a fork bomb (`cgroup.kill`, Linux 5.14). It works without any
controller. See cgroups(7).
"""

import contextlib
import os

_OWN = "/proc/self/cgroup"
_MOUNTS = "/proc/self/mounts"


def job_cgroup_parent() -> str | None:
    """Return a directory below which a runner may make a leaf for its job; None where there is none.

    It is `bgjob` below our own cgroup, which a service manager may have delegated to us. One that was made and turned
    out to be of no use is removed again.
    """
    mount, own = _mount_point(), _own_cgroup()
    if mount is None or own is None:
        return None
    parent = os.path.join(mount, own.lstrip("/"), "bgjob")
    trial = os.path.join(parent, f"trial-{os.getpid()}")
    try:
        os.makedirs(trial, exist_ok=True)
        usable = os.access(os.path.join(trial, "cgroup.kill"), os.W_OK) and _can_enter(trial)
        os.rmdir(trial)
    except OSError:
        usable = False
    if not usable:
        with contextlib.suppress(OSError):  # not ours, or used by somebody
            os.rmdir(parent)
    return parent if usable else None


def _can_enter(leaf: str) -> bool:
    """Return whether a process of ours can go in: permission alone does not say (delegation, cgroups(7))."""
    pid = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
    try:
        with open(os.path.join(leaf, "cgroup.procs"), "w") as procs:
            procs.write(str(pid))
        with open(os.path.join(leaf, "cgroup.kill"), "w") as kill:
            kill.write("1")
    except OSError:
        os.kill(pid, 9)
        return False
    finally:
        os.waitpid(pid, 0)
    return True


def _mount_point() -> str | None:
    try:
        with open(_MOUNTS) as mounts:
            return next((line.split()[1] for line in mounts if line.split()[2] == "cgroup2"), None)
    except OSError:
        return None


def _own_cgroup() -> str | None:
    try:
        with open(_OWN) as lines:
            return next((line.rstrip("\n").split("::", 1)[1] for line in lines if line.startswith("0::")), None)
    except OSError:
        return None
