"""Where jobs can have a cgroup v2 leaf of their own: probed once at the start, used if it works, never required.

A leaf makes killing a tree certain and quick, also for a fork bomb (`cgroup.kill`, Linux 5.14); that works without any
controller. Where the memory controller was delegated to us, a leaf also limits the memory of a whole job. See
cgroups(7) and the kernel's cgroup-v2.rst.
"""

import contextlib
import os

# What the unit's DelegateSubgroup= puts us into (systemd.resource-control(5), systemd 254). The unit's own cgroup is
# then ours and has no process in it, without which the kernel lets nobody hand controllers down.
SERVICE_SUBGROUP = "daemon"

_OWN = "/proc/self/cgroup"
_MOUNTS = "/proc/self/mounts"


def job_cgroup_parent() -> str | None:
    """Return a directory below which a runner may make a leaf for its job; None where there is none.

    It is `bgjob` below our own cgroup, or beside it where a service manager put us into a subgroup. One that was made
    and turned out to be of no use is removed again.
    """
    mount, own = _mount_point(), _own_cgroup()
    if mount is None or own is None:
        return None
    base = os.path.join(mount, _delegated(own).lstrip("/"))
    parent = os.path.join(base, "bgjob")
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
        return None
    for directory in (base, parent):
        _hand_down_memory(directory)
    return parent


def limits_whole_jobs(parent: str) -> bool:
    """Return whether a leaf below `parent` can limit memory."""
    try:
        with open(os.path.join(parent, "cgroup.subtree_control")) as file:
            return "memory" in file.read().split()
    except OSError:
        return False


def _delegated(own: str) -> str:
    """Return the cgroup that is ours to use: our own one, or where our unit has a subgroup for us, the unit's."""
    unit, _, last = own.rpartition("/")
    return unit if last == SERVICE_SUBGROUP and unit.endswith(".service") else own


def _hand_down_memory(directory: str) -> None:
    """Let what is below a cgroup have the memory controller, if it can be had."""
    path = os.path.join(directory, "cgroup.subtree_control")
    with contextlib.suppress(OSError), open(path, "w") as file:  # not delegated, or processes are in it (EBUSY)
        file.write("+memory")


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
