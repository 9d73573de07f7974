"""The processes of one job: who lives, who is signalled, who is gone; and the receipt of a kill.

The runner is the parent or the subreaper of all of them. That gives the only proof that nobody is left: waitpid saying
ECHILD. A walk that finds nobody proves nothing, because processes that fork and die hide between two reads
(supervision.md §4: 14 of 15 at best; with ECHILD 15 of 15).
"""

import os
import resource

from bgjobd.runner import system
from bgjobd.runner.loop import READABLE, ChildSignals, Loop
from bgjobd.runner.receipt import MAX_LISTED, Signalled, pack_signalled, wait_words
from bgjobd.runner.signals import SIGCONT, SIGKILL, signal_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator


class Usage:
    """What processes used, each with the children it waited for."""

    __slots__ = ("max_rss_kib", "stime_us", "utime_us")

    def __init__(self, utime_us: int, stime_us: int, max_rss_kib: int) -> None:
        self.utime_us = utime_us
        self.stime_us = stime_us
        self.max_rss_kib = max_rss_kib

    @classmethod
    def of(cls, usage: resource.struct_rusage) -> "Usage":
        """Return the part of rusage that is recorded; the peak is 0 where it is not the process's own.

        Its first image shared our memory (vfork), and the kernel counts that image's peak, which is ours: exec_mmap()
        in fs/exec.c. A larger figure can only be its own.
        """
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peak = usage.ru_maxrss if usage.ru_maxrss > own else 0
        return cls(int(usage.ru_utime * 1e6), int(usage.ru_stime * 1e6), system.max_rss_kib(peak))

    def add(self, other: "Usage") -> None:
        """Count what another process used as well: its time on top, of the peaks the larger one."""
        self.utime_us += other.utime_us
        self.stime_us += other.stime_us
        self.max_rss_kib = max(self.max_rss_kib, other.max_rss_kib)


class Tree:
    """The processes below the runner that is their parent or subreaper.

    Args:
        main_pid: the job's main process, leader of its session and of its process group.
        witness: called with the main process's raw wait status before it is reaped: whoever comes after a runner that
            is killed right now finds either that note or a process to reap.
    """

    doubt = ""  # what a receipt has to add to "nobody is left"

    _signals: ChildSignals
    _on_change: "Callable[[], None]"

    def __init__(self, main_pid: int, witness: "Callable[[int], None]") -> None:
        self.main_pid = main_pid
        self.main_has_ended = False
        self.main_status: int | None = None  # raw wait status; None also when nobody saw the end
        self.usage = Usage(0, 0, 0)  # of all that were reaped: the main process, orphans, who was killed
        self.seen_by = "runner"  # who saw the end, in the words of ExitRecord.by
        self.is_gone = False  # proven: nobody is left
        self.unlisted = 0  # processes that were signalled but did not fit in the receipt
        self._witness = witness
        self._passes = 0
        self._own_pid = os.getpid()
        self._signalled: dict[int, Signalled] = {}  # alive, as far as is known
        self._ended: list[Signalled] = []
        self._dying: set[int] = set()  # our own children that were killed and not reaped yet
        self._unnoted: list[int] = []  # those of them that are not in the receipt yet

    def watch(self, signals: ChildSignals, loop: Loop, on_change: "Callable[[], None]") -> None:
        """Call `on_change` whenever somebody may have ended; it is to call `reap`."""
        self._signals, self._on_change = signals, on_change
        loop.watch(signals.fd, READABLE, self._woken)

    def _woken(self, _events: int) -> None:
        self._signals.drain()
        self._on_change()

    def reap(self) -> None:
        """Collect everyone who has ended, and find out whether anybody is left."""
        while True:
            try:
                ended = system.reap_child(self._announce)
            except ChildProcessError:
                self.is_gone = True
                return
            if ended is None:
                return
            pid, status, usage = ended
            if pid == self.main_pid and not self.main_has_ended:
                self.main_has_ended, self.main_status = True, status
            self.usage.add(Usage.of(usage))
            self._dying.discard(pid)
            self._note_end(pid, wait_words(status))

    def _announce(self, pid: int, status: int) -> None:
        if pid == self.main_pid and not self.main_has_ended:
            self._witness(status)

    def living(self) -> list[system.Process]:
        """Return the processes that live, parents before their children. Zombies do not live."""
        found = []
        for pid, _parent in self._walk():
            process = system.process(pid)
            if process is not None and process.state != "Z":
                found.append(process)
        return found

    def pids(self) -> list[int]:
        """Return the pids of all that are found, zombies too, without a look at each: quicker than `living`."""
        return [pid for pid, _parent in self._walk(threads=True)]

    def signal_main_group(self, number: int) -> list[system.Process]:
        """Send one signal to the main process's group and return who that is; nobody once the main one was reaped.

        Until then neither its pid nor its group's id can belong to anybody else.
        """
        if not self._main_is_there():
            return []
        members = [process for process in self.living() if process.group == self.main_pid]
        try:
            os.killpg(self.main_pid, number)
        except OSError:
            return []  # only zombies are left in it
        return members

    def signal_each(self, number: int, skip: "Collection[int]" = ()) -> list[system.Process]:
        """Send one signal to everybody but the pids in `skip`, one by one, and return whom it reached."""
        others = [process for process in self.living() if process.pid not in skip]
        return [process for process in others if system.signal_process(process, number)]

    def stop_all(self, number: int) -> None:
        """Begin a kill: send one signal to everybody, exactly once each, because some programs take a second one for
        impatience. Then let stopped processes go on, so that they can handle it.
        """
        reached = self.signal_main_group(number)
        reached += self.signal_each(number, {process.pid for process in reached})
        for process in reached:
            self._note_signal(process, number)
            system.signal_process(process, SIGCONT)

    def kill_found(self) -> bool:
        """Send SIGKILL to each process at the moment it is found, and return whether somebody new was.

        Every second time the children of all threads are looked at, not only those of main threads: it takes longer.
        """
        self._passes += 1
        found_new = False
        for pid, parent in self._walk(threads=self._passes % 2 == 0):
            if self._kill(pid, parent):
                found_new = True
        self._note_killed()
        return found_new

    def receipt(self) -> list[bytes]:
        """Return a line for everybody who was signalled."""
        return [pack_signalled(entry) for entry in self._listed()]

    def survivors(self) -> list[bytes]:
        """Return the lines of those who live in spite of it all, also those who may not be signalled: of the first."""
        living = [] if self.is_gone else self.living()[:MAX_LISTED]
        return [pack_signalled(self._signalled.get(p.pid) or Signalled(p.pid, p.start, p.name)) for p in living]

    def _main_is_there(self) -> bool:
        """Whether the main process's pid and group certainly are still its own."""
        return not self.main_has_ended

    def _listed(self) -> list[Signalled]:
        if self.is_gone:
            for pid in list(self._signalled):
                self._note_end(pid, "gone")  # its own parent reaped it
        return self._ended + list(self._signalled.values())

    def _walk(self, *, threads: bool = False) -> "Iterator[tuple[int, int]]":
        """Yield (pid, parent) of everyone below the runner; the caller may kill what it is given at once."""
        own_pid = self._own_pid
        seen = {own_pid}
        stack = [(pid, own_pid) for pid in system.children(own_pid)]
        while stack:
            pid, parent = stack.pop()
            if pid in seen:
                continue
            seen.add(pid)
            yield pid, parent
            stack += [(child, pid) for child in system.children(pid, threads=threads)]

    def _kill(self, pid: int, parent: int) -> bool:
        """Kill one process and return whether that was its first SIGKILL.

        A child cannot be anybody else before it is reaped, so there is nothing to look at first, and nothing to do
        twice. A grandchild can be: its parent may have reaped it, and a program that forks fast gets its number again.
        """
        if parent != self._own_pid:
            return self._kill_grandchild(pid, parent)
        if pid in self._dying:
            return False
        try:
            os.kill(pid, SIGKILL)
        except OSError:
            return False  # it changed its user, e.g. sudo(8)
        self._dying.add(pid)
        self._unnoted.append(pid)
        return True

    def _note_killed(self) -> None:
        """Put the children that were killed into the receipt; they are there until they are reaped."""
        for pid in self._unnoted:
            process = None if self._is_full(pid) else system.process(pid)
            if process is None:
                self.unlisted += 1
            else:
                self._note_signal(process, SIGKILL)
        self._unnoted.clear()

    def _kill_grandchild(self, pid: int, parent: int) -> bool:
        process = system.kill_child_of(pid, (parent, self._reaper()))
        if process is None:
            return False
        known = self._signalled.get(pid)
        if known is not None and known.start == process.start and known.was_killed:
            return False
        self._note_signal(process, SIGKILL)
        return True

    def _reaper(self) -> int:
        """Who becomes the parent of the tree's orphans."""
        return self._own_pid

    def _is_full(self, pid: int) -> bool:
        """Whether there is no more room in the receipt for a process that is not in it yet."""
        return len(self._signalled) + len(self._ended) >= MAX_LISTED and pid not in self._signalled

    def _note_signal(self, process: system.Process, number: int) -> None:
        entry = self._signalled.get(process.pid)
        if entry is not None and entry.start != process.start:
            self._note_end(process.pid, "gone")  # and somebody else has its pid now
            entry = None
        if entry is None:
            if self._is_full(process.pid):
                self.unlisted += 1
                return
            entry = self._signalled[process.pid] = Signalled(process.pid, process.start, process.name)
        if not entry.was_killed:  # once as a grandchild and then as a child is still one death
            entry.signals.append(signal_name(number))
        entry.was_killed |= number == SIGKILL

    def _note_end(self, pid: int, words: str) -> None:
        entry = self._signalled.pop(pid, None)
        if entry is not None:
            entry.ended = words
            self._ended.append(entry)
