"""What killed runners leave to their zygote: processes without a parent, and how those ended that did.

Only session leaders are remembered, because a job's main process is one. Which job an ended one belonged to is said by
run records; for a runner that was killed before it wrote one, by elimination, and never by guessing.
"""

import os
import time

from bgjobd.runner import system
from bgjobd.runner.foreign_tree import End
from bgjobd.runner.records import RecordError, RunRecord, read_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

NONE, UNKNOWN = 0, -1  # instead of a main process's pid
_MAX_REMEMBERED = 1024
_TICKS = os.sysconf("SC_CLK_TCK")


class Orphans:
    """The ends of session leaders that were nobody's forks."""

    def __init__(self) -> None:
        self._ends: dict[int, tuple[End, int]] = {}  # pid: its end, and when it had started (kernel ticks)
        self._fresh: list[int] = []  # pids of those that ended since `begin`

    def begin(self) -> None:
        """A new round of reaping: what ended before belongs to runners that died before."""
        self._fresh = []

    def add(self, end: End, start: int) -> None:
        """Remember the end of a session leader that had started at `start`."""
        self._ends[end.pid] = (end, start)
        self._fresh.append(end.pid)
        while len(self._ends) > _MAX_REMEMBERED:
            del self._ends[next(iter(self._ends))]

    def ends(self) -> list[End]:
        """Return what is remembered."""
        return [end for end, _ in self._ends.values()]

    def find_ended(self, forked: int, others: "Iterable[str]") -> int:
        """Find the main process that ended in this round, of a runner that left no run record.

        Args:
            forked: when that runner was forked (kernel ticks): its job cannot be older.
            others: directories of the other jobs whose runners are dead too.

        Returns:
            Its pid; NONE when nothing can have been started; UNKNOWN when it cannot be told apart.
        """
        candidates = [pid for pid in self._fresh if pid in self._ends and self._ends[pid][1] >= forked]
        if candidates:
            known = {_main_of(directory) for directory in others}
            candidates = [pid for pid in candidates if pid not in known]
            if UNKNOWN in known or len(candidates) > 1:
                return UNKNOWN
        return candidates[0] if candidates else NONE


def find_living(runner_pid: int, kept: list[int], forks: "Collection[int]") -> int:
    """Find the living main process of a dead runner: a child of ours that holds the job's pipes.

    Before its exec it is still in the runner's session, after that it leads its own.

    Args:
        runner_pid: of the runner.
        kept: our ends of the job's pipes.
        forks: our children that are no orphans.
    """
    for pid in system.children(os.getpid()):
        if pid not in forks and session_of(pid) in (pid, runner_pid) and system.holds(pid, kept):
            return pid
    return NONE


def session_of(pid: int) -> int:
    """Return the session of a process, also of one that has ended and was not reaped; 0 if there is none."""
    try:
        return os.getsid(pid)
    except OSError:
        return 0


def now_ticks() -> int:
    """Return the present as start times are counted, rounded down."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * _TICKS) if system.LINUX else 0


def _main_of(directory: str) -> int:
    """Return the main process of a job; UNKNOWN for one that has begun and not said it, NONE for one that has not."""
    try:
        return read_record(RunRecord, f"{directory}/run").job_pid
    except (OSError, RecordError):
        return UNKNOWN if os.path.exists(f"{directory}/lock") else NONE
