"""Starts a program whose limits hold from its first instruction: by fork, as posix_spawn has no words for them.

Set from outside right after the exec they came too late: a shell forks its first command within half a millisecond,
and a process keeps for ever what it inherited then.

A limit on memory holds for the whole job where the memory controller of cgroups was delegated to us, else for each
process of it. One on processor time always holds for each process, and in a leaf for all of them too (`runner.job`).
"""

import os
import resource

from bgjobd.runner.leaf import Leaf
from bgjobd.runner.records import Spec
from bgjobd.runner.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_CPU_GRACE_S = 5  # between SIGXCPU, which a program may catch, and SIGKILL
_LONGEST_REPORT_BYTES = 32


class LimitError(Exception):
    """A limit that was asked for could not be set, so that the program was not started."""


def is_confined(spec: Spec) -> bool:
    """Return whether the job has limits that its main process must have from the start."""
    return (spec.nice, spec.max_memory_bytes, spec.max_cpu_s) != (None, None, None)


def leaf_of(spec: Spec) -> Leaf | None:
    """Return the leaf of a job that was started, made or not; None where nobody can make one."""
    return Leaf(_leaf_path(spec), is_home=_has_home(spec)) if spec.cgroup else None


def spawn_confined(
    spec: Spec,
    path: bytes,
    env: dict[bytes, bytes],
    actions: "Sequence[tuple[object, ...]]",
    default_signals: "Sequence[int]",
) -> int:
    """Start the program at `path` in a session of its own and return its pid; otherwise as `os.posix_spawn`.

    Raises:
        OSError: what exec says.
        LimitError: a limit could not be set.
    """
    leaf, memory_bytes = _make_home(spec)
    report, said_by_child = os.pipe()
    try:
        pid = os.fork()
        if pid == 0:
            limits = _Limits(spec, leaf, memory_bytes)
            _become(spec, path, env, actions, default_signals, limits, said_by_child)
        os.close(said_by_child)
        said_by_child = -1
        said = os.read(report, _LONGEST_REPORT_BYTES)  # its end comes with the exec
    finally:
        os.close(report)
        if said_by_child >= 0:
            os.close(said_by_child)
    if said:
        os.waitpid(pid, 0)
        if leaf is not None:
            leaf.close()
        stage, number = said.split()
        if stage == b"limit":
            raise LimitError(os.strerror(int(number)))
        raise OSError(int(number), os.strerror(int(number)))
    return pid


def _become(
    spec: Spec,
    path: bytes,
    env: dict[bytes, bytes],
    actions: "Sequence[tuple[object, ...]]",
    default_signals: "Sequence[int]",
    limits: "_Limits",
    report: int,
) -> None:
    """In the child: turn into the program, or say why not. Never returns."""
    stage = b"exec"
    try:
        os.setsid()
        for number in default_signals:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        for action in actions:
            _act(action)
        stage = b"limit"
        limits.take()
        stage = b"exec"
        os.execve(path, spec.argv, env)
    except BaseException as error:
        number = error.errno if isinstance(error, OSError) and error.errno else 22  # EINVAL, e.g. a NUL in an argument
        os.write(report, b"%s %d" % (stage, number))
    finally:
        os._exit(127)


def _act(action: "tuple[Any, ...]") -> None:
    """Carry out one file action of posix_spawn: POSIX_SPAWN_OPEN or POSIX_SPAWN_DUP2, the two that are used."""
    kind, fd, *arguments = action
    if kind == os.POSIX_SPAWN_OPEN:
        _move(os.open(*arguments), fd)
    else:
        os.dup2(fd, *arguments)


def _move(opened: int, fd: int) -> None:
    os.dup2(opened, fd)
    if opened == fd:
        os.set_inheritable(fd, True)
    else:
        os.close(opened)


class _Limits:
    """What the child takes from itself.

    Args:
        spec: what was asked.
        leaf: to live in.
        memory_bytes: the limit of each process; None: there is none, or it is the leaf's.
    """

    __slots__ = ("_leaf", "_memory_bytes", "_spec")

    def __init__(self, spec: Spec, leaf: Leaf | None, memory_bytes: int | None) -> None:
        self._spec = spec
        self._leaf = leaf
        self._memory_bytes = memory_bytes

    def take(self) -> None:
        """Set them. Memory is the last one: what follows has to do with it."""
        spec = self._spec
        if self._leaf is not None:
            self._leaf.enter()
        if spec.nice is not None:
            os.setpriority(os.PRIO_PROCESS, 0, spec.nice)
        if spec.max_cpu_s is not None:
            resource.setrlimit(resource.RLIMIT_CPU, (spec.max_cpu_s, spec.max_cpu_s + _CPU_GRACE_S))
        if self._memory_bytes is not None:
            resource.setrlimit(resource.RLIMIT_AS, (self._memory_bytes, self._memory_bytes))


def _make_home(spec: Spec) -> tuple[Leaf | None, int | None]:
    """Return the leaf that the job is to live in, and what is left for each process to be limited to."""
    if not spec.cgroup or not _has_home(spec):
        return None, spec.max_memory_bytes
    leaf = Leaf(_leaf_path(spec))
    if not leaf.make():
        return None, spec.max_memory_bytes
    is_limited = spec.max_memory_bytes is not None and leaf.limit_memory(spec.max_memory_bytes)
    return leaf, None if is_limited else spec.max_memory_bytes


def _has_home(spec: Spec) -> bool:
    return (spec.max_memory_bytes, spec.max_cpu_s) != (None, None)


def _leaf_path(spec: Spec) -> str:
    assert spec.cgroup
    return f"{spec.cgroup}/{spec.job_id}"
