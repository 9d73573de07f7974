"""A job's cgroup v2 leaf: where its limits hold for all of it together, and where a tree that forks too fast is killed.

Most jobs never have one: moving a process between cgroups costs milliseconds, which every start would pay
(docs/design/0009-cgroups-late.md). A job with a limit on memory or processor time lives in it from its first
instruction; any other is put there only when a kill does not get ahead. What is forked by a process in the leaf is in
the leaf. See cgroups(7) and the kernel's cgroup-v2.rst.
"""

import os

from bgjobd.runner.signals import SIGKILL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class Leaf:
    """One leaf. Where it cannot be made, nothing here does anything, and the caller has to do without.

    Args:
        path: the directory, below one that the daemon found usable.
        is_home: the job lives in it, so that it is there already.
    """

    def __init__(self, path: str, *, is_home: bool = False) -> None:
        self._path = path
        self._is_there = is_home
        self._failed = False
        self._put: set[int] = set()

    def make(self) -> bool:
        """Make the directory, if that was not done yet; return whether it is there."""
        if not self._is_there and not self._failed:
            self._make()
        return self._is_there

    def limit_memory(self, most_bytes: int) -> bool:
        """Let all that is in it have no more memory than that together, swap included.

        Beyond it the kernel kills all of it at once (`memory.oom.group`): half a job helps nobody. False: the memory
        controller was not delegated to us, so the limit has to be another one.
        """
        if not self._write("memory.max", b"%d" % most_bytes):
            return False
        self._write("memory.swap.max", b"0")  # not there: the kernel does not account for swap
        self._write("memory.oom.group", b"1")
        return True

    def enter(self) -> None:
        """Put this process into it.

        Raises:
            OSError: the kernel refused.
        """
        fd = os.open(os.path.join(self._path, "cgroup.procs"), os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, b"0")
        finally:
            os.close(fd)

    def ran_out_of_memory(self, status: int) -> bool:
        """Return whether a raw wait status is that of a process in it that the kernel killed because memory was short.

        That of the limit, or the machine's. SIGKILL says nothing about its sender: the kernel's count does.
        """
        was_killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == SIGKILL
        return was_killed and self._figure("memory.events", b"oom_kill") > 0

    def used_s(self) -> float:
        """Return the processor time of everything that is or was in it, in seconds; 0 where it is not known."""
        return self._figure("cpu.stat", b"usage_usec") / 1e6

    def gather(self, pids: "Iterable[int]") -> int:
        """Put processes into the leaf, each once; return how many were put.

        One that has ended and is not reaped can be put there and does not show in it, and each put takes milliseconds.
        """
        if not self.make():
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

    def _figure(self, name: str, key: bytes) -> int:
        """Return one number of a "flat keyed" file."""
        try:
            with open(os.path.join(self._path, name), "rb", buffering=0) as file:
                for line in (file.readall() or b"").splitlines():
                    word, _, number = line.partition(b" ")
                    if word == key:
                        return int(number)
        except OSError:
            pass  # no such controller, or no leaf
        return 0

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
