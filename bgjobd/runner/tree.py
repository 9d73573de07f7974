"""The processes of one job: who lives, who is signalled, who is gone; and the receipt of a kill.

The runner is the parent or the subreaper of all of them. That gives the only proof that nobody is left: waitpid saying
ECHILD. A walk that finds nobody proves nothing, because processes that fork and die hide between two reads
(supervision.md §4: 14 of 15 at best; with ECHILD 15 of 15).
"""

import os
import signal

from bgjobd.runner import system
from bgjobd.runner.receipt import Signalled, pack_signalled, signal_name, wait_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from resource import struct_rusage

_MAX_LISTED = 256  # processes in a receipt; the others are counted


class Tree:
    """The tree below the runner.

    Args:
        main_pid: the job's main process, leader of its session and of its process group.
    """

    def __init__(self, main_pid: int) -> None:
        self.main_pid = main_pid
        self.main_status: int | None = None  # raw wait status, once it was reaped
        self.main_usage: struct_rusage | None = None
        self.is_gone = False  # proven: nobody is left
        self.unlisted = 0  # processes that were signalled but did not fit in the receipt
        self._signalled: dict[int, Signalled] = {}  # alive, as far as is known
        self._ended: list[Signalled] = []

    def reap(self) -> None:
        """Collect everyone who has ended."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                self.is_gone = True
                return
            if pid == 0:
                return
            if pid == self.main_pid and self.main_status is None:
                self.main_status, self.main_usage = status, usage
            self._note_end(pid, wait_words(status))

    def living(self) -> list[system.Process]:
        """Return the processes that live, parents before their children. Zombies do not live."""
        found = []
        for pid, _parent in self._walk():
            process = system.process(pid)
            if process is not None and process.state != "Z":
                found.append(process)
        return found

    def signal_main_group(self, number: int) -> list[system.Process]:
        """Send one signal to the main process's group and return who that is; nobody once the main one was reaped.

        Until then neither its pid nor its group's id can belong to anybody else.
        """
        if self.main_status is not None:
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
            system.signal_process(process, signal.SIGCONT)

    def kill_found(self, *, threads: bool) -> bool:
        """Send SIGKILL to each process at the moment it is found.

        Args:
            threads: look at the children of every thread, not only of main threads.

        Returns:
            Whether somebody was found who had not been killed before.
        """
        found_new = False
        for pid, parent in self._walk(threads=threads):
            if self._kill(pid, parent):
                found_new = True
        return found_new

    def receipt(self) -> list[bytes]:
        """Return a line for everybody who was signalled."""
        return [pack_signalled(entry) for entry in self._listed()]

    def survivors(self) -> list[bytes]:
        """Return the lines of those who live in spite of it all, also those who may not be signalled."""
        if self.is_gone:
            return []
        return [pack_signalled(self._signalled.get(p.pid) or Signalled(p.pid, p.start, p.name)) for p in self.living()]

    def _listed(self) -> list[Signalled]:
        if self.is_gone:
            for pid in list(self._signalled):
                self._note_end(pid, "gone")  # its own parent reaped it
        return self._ended + list(self._signalled.values())

    def _walk(self, *, threads: bool = False) -> "Iterator[tuple[int, int]]":
        """Yield (pid, parent) of everyone below the runner; the caller may kill what it is given at once."""
        own_pid = os.getpid()
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
        """Kill one process. A child cannot be anybody else before it is reaped; a grandchild could, so it is verified.

        Returns whether that was its first SIGKILL.
        """
        known = self._signalled.get(pid)
        if known is not None and "SIGKILL" in known.signals:
            return False
        if parent == os.getpid():
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                return False  # it changed its user, e.g. sudo(8)
            process = system.process(pid)
        else:
            process = system.process(pid)
            if process is None or not system.signal_process(process, signal.SIGKILL):
                return False
        if process is not None:
            self._note_signal(process, signal.SIGKILL)
        return True

    def _note_signal(self, process: system.Process, number: int) -> None:
        entry = self._signalled.get(process.pid)
        if entry is not None and entry.start != process.start:
            self._note_end(process.pid, "gone")  # and somebody else has its pid now
            entry = None
        if entry is None:
            if len(self._signalled) + len(self._ended) >= _MAX_LISTED:
                self.unlisted += 1
                return
            entry = self._signalled[process.pid] = Signalled(process.pid, process.start, process.name)
        entry.signals.append(signal_name(number))

    def _note_end(self, pid: int, words: str) -> None:
        entry = self._signalled.pop(pid, None)
        if entry is not None:
            entry.ended = words
            self._ended.append(entry)
