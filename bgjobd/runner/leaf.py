"""A cgroup v2 leaf for a tree that forks faster than it can be killed one by one (cgroups(7), `cgroup.kill`).

It is made only when a kill does not get ahead: moving a process between cgroups costs milliseconds, which every start
of every job would pay (docs/design/0009-cgroups-late.md). What is forked by a process in the leaf is in the leaf, so
one write ends all of it.
"""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class Leaf:
    """One leaf. Made at the first `end`; where that fails, it does nothing and the caller's loop has to do.

    Args:
        path: the directory to make, below one that the daemon found usable.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._is_there = False
        self._failed = False
        self._put: set[int] = set()

    def gather(self, pids: "Iterable[int]") -> int:
        """Put processes into the leaf, each once; return how many were put.

        One that has ended and is not reaped can be put there and does not show in it, and each put takes milliseconds.
        """
        if not self._is_there and not self._failed:
            self._make()
        if not self._is_there:
            return 0
        outside = set(pids) - self._members() - self._put
        self._put |= outside
        return sum(self._write("cgroup.procs", b"%d" % pid) for pid in outside)

    def kill(self) -> None:
        """Kill everything in the leaf."""
        if self._is_there:
            self._write("cgroup.kill", b"1")

    def close(self) -> None:
        """Remove the leaf; nobody may be in it any more."""
        if self._is_there:
            self._is_there = False
            try:
                os.rmdir(self._path)
            except OSError:
                return  # a process that cannot be ended is in it: the leaf has to stay

    def _make(self) -> None:
        try:
            os.mkdir(self._path)
        except FileExistsError:
            pass  # of a runner that was killed in the middle of this
        except OSError:
            self._failed = True
            return
        self._is_there = True

    def _members(self) -> set[int]:
        try:
            with open(os.path.join(self._path, "cgroup.procs"), "rb", buffering=0) as file:
                return {int(line) for line in (file.readall() or b"").split()}
        except OSError:
            return set()

    def _write(self, name: str, data: bytes) -> bool:
        """Write to one of the leaf's files. A process that has just ended is no error (ESRCH)."""
        try:
            fd = os.open(os.path.join(self._path, name), os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            os.write(fd, data)
        except OSError:
            return False  # ESRCH, or a kernel before 5.14: the loop goes on
        finally:
            os.close(fd)
        return True
