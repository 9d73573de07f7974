"""The processes of a job where the kernel does not hand them all to the runner: found by looking at all there are.

Members are the main process, its session and its process group; who carries the job's BGJOB_ID and has lost its own
parent; and the descendants of all these. No ECHILD proves that nobody is left: every known member is watched, and a
look at all processes follows each death. Weaker than `Tree` against processes that hop faster than that.
"""

import os

from bgjobd.runner import ps, system
from bgjobd.runner.ends import Ends
from bgjobd.runner.loop import ChildSignals, Loop
from bgjobd.runner.signals import SIGKILL
from bgjobd.runner.tree import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator


class ScanTree(Tree):
    """A tree whose members are looked for.

    Args:
        main_pid: the job's main process.
        main_start: its start time; 0: not known, it is looked up now.
        job_id: what its processes have as BGJOB_ID.
        witness: as in `Tree`.
    """

    doubt = "nobody else was found, which is no proof"

    def __init__(self, main_pid: int, main_start: int, job_id: str, witness: "Callable[[int], None]") -> None:
        super().__init__(main_pid, witness)
        self._marker = b"BGJOB_ID=" + job_id.encode()
        self._main_start = main_start or _start_now(main_pid)
        self._session_is_ours = True  # until nobody is left in it: then its number may be given away
        self._ends: Ends | None = None  # before `watch`

    def watch(self, signals: ChildSignals, loop: Loop, on_change: "Callable[[], None]") -> None:
        """Call `on_change` whenever somebody may have ended; it is to call `reap`."""
        self._ends = Ends(loop, on_change)

    def living(self) -> list[system.Process]:
        """Return the processes that live, parents before their children."""
        return [process for process, _parent in self._members()]

    def _watch_end(self, pid: int) -> None:
        if self._ends is not None:
            self._ends.watch(pid, keep=pid == self.main_pid)  # the main one's tells how it ended, as a last resort

    def _walk(self, *, threads: bool = False) -> "Iterator[tuple[int, int]]":
        return ((process.pid, parent) for process, parent in self._members())

    def _members(self) -> "Iterator[tuple[system.Process, int]]":
        """Yield every member that lives, and its parent."""
        everyone = {process.pid: process for process in system.processes() if process.state != "Z"}
        everyone.pop(os.getpid(), None)
        marked = self._marked(everyone)
        stack = [process for process in everyone.values() if self._is_root(process, marked)]
        self._session_is_ours &= any(self.main_pid in (process.session, process.group) for process in stack)
        below: dict[int, list[system.Process]] = {}
        for process in everyone.values():
            below.setdefault(process.parent, []).append(process)
        seen = set()
        while stack:
            process = stack.pop()
            if process.pid not in seen:
                seen.add(process.pid)
                yield process, process.parent
                stack += below.get(process.pid, ())

    def _is_root(self, process: system.Process, marked: "Collection[int]") -> bool:
        """Whether it belongs to this job by itself, and not only by its parents."""
        if process.pid == self.main_pid:
            return process.start == self._main_start
        if self.main_pid in (process.session, process.group) and self._session_is_ours:
            return True
        return process.pid in marked

    def _marked(self, everyone: dict[int, system.Process]) -> "Collection[int]":
        """Return the pids of those that belong to this job although they have left its session."""
        raise NotImplementedError


class OrphaningTree(ScanTree):
    """The tree of a runner on a system without subreapers: it reaps the main process, and the others it looks for."""

    def __init__(self, main_pid: int, main_start: int, job_id: str, witness: "Callable[[int], None]") -> None:
        super().__init__(main_pid, main_start, job_id, witness)
        self._nobody_was_found = False
        self._must_look = True  # since somebody ended, or was killed. Looking makes a child of its own, which ends

    def watch(self, signals: ChildSignals, loop: Loop, on_change: "Callable[[], None]") -> None:
        """Call `on_change` whenever somebody may have ended; it is to call `reap`."""

        def somebody_ended() -> None:
            self._must_look = True
            on_change()

        Tree.watch(self, signals, loop, on_change)
        self._ends = Ends(loop, somebody_ended)

    def reap(self) -> None:
        """Collect the main process, and after that find out whether anybody is left."""
        super().reap()
        if self.is_gone and self._must_look:
            self._must_look = False
            members = self.living()
            self._nobody_was_found = not members
            for process in members:
                self._watch_end(process.pid)
        self.is_gone &= self._nobody_was_found

    def kill_found(self) -> bool:
        """Send SIGKILL to everybody who is found, and return whether somebody new was."""
        self._must_look = True
        found_new = False
        for process in self.living():
            known = self._signalled.get(process.pid)
            if known is not None and known.start == process.start and known.was_killed:
                continue
            try:
                os.kill(process.pid, SIGKILL)
            except OSError:
                continue
            self._note_signal(process, SIGKILL)
            found_new = True
        return found_new

    def _marked(self, everyone: dict[int, system.Process]) -> "Collection[int]":
        return ps.marked(self._marker)


def _start_now(pid: int) -> int:
    found = system.process(pid) if pid > 0 else None
    return found.start if found is not None else 0
