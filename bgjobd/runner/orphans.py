"""What killed runners leave to their zygote: processes without a parent, and how those ended that did.

Only session leaders are remembered, because a job's main process is one. Which job an ended one belonged to is said by
run records; for a runner that was killed before it wrote one, by elimination, and never by guessing.
"""

import os
import select
import time

from bgjobd.runner import system
from bgjobd.runner.foreign_tree import End
from bgjobd.runner.records import RecordError, RunRecord, read_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

NONE, UNKNOWN = 0, -1  # instead of a main process's pid
_MAX_REMEMBERED = 1024
_LONGEST_ENDING_MS = 1000  # of a process whose files are closed already; more only if other threads of it live on
_TICKS = os.sysconf("SC_CLK_TCK")


class Orphans:
    """The ends of session leaders that were nobody's forks."""

    def __init__(self) -> None:
        self._ends: dict[int, End] = {}  # by pid: of several that had the same, the last
        self._fresh: list[int] = []  # pids of those that ended since `begin`

    def begin(self) -> None:
        """A new round of reaping: what ended before belongs to runners that died before."""
        self._fresh = []

    def add(self, end: End) -> None:
        """Remember the end of a session leader."""
        self._ends[end.pid] = end
        self._fresh.append(end.pid)
        while len(self._ends) > _MAX_REMEMBERED:
            del self._ends[next(iter(self._ends))]

    def ends(self) -> list[End]:
        """Return what is remembered."""
        return list(self._ends.values())

    def start_of(self, pid: int) -> int:
        """Return when one that is remembered had started (kernel ticks); 0 for others."""
        return self._ends[pid].start if pid in self._ends else 0

    def find_ended(self, forked: int, others: "Iterable[str]") -> int:
        """Find the main process that ended in this round, of a runner that left no run record.

        Args:
            forked: when that runner was forked (kernel ticks): its job cannot be older.
            others: directories of the other jobs whose runners are dead too.

        Returns:
            Its pid; NONE when nothing can have been started; UNKNOWN when it cannot be told apart.
        """
        candidates = [pid for pid in self._fresh if pid in self._ends and self._ends[pid].start >= forked]
        if candidates:
            known = {_main_of(directory) for directory in others}
            candidates = [pid for pid in candidates if pid not in known]
            if UNKNOWN in known or len(candidates) > 1:
                return UNKNOWN
        return candidates[0] if candidates else NONE


def find_living(
    runner_pid: int, forked: int, kept: list[int], forks: "Collection[int]", others: "Iterable[str]"
) -> int:
    """Find the living main process of a dead runner: a child of ours that holds the job's pipes.

    Before its exec it is still in the runner's session, after that it leads its own. One that is about to end has
    closed its pipes a moment before it can be reaped: it is waited for, so that `Orphans.find_ended` finds it.

    Args:
        runner_pid: of the runner.
        forked: when that runner was forked (kernel ticks): its job cannot be older.
        kept: our ends of the job's pipes; none: it cannot be told by them.
        forks: our children that are no orphans.
        others: directories of the other jobs whose runners are dead too.

    Returns:
        Its pid; NONE when there is none; UNKNOWN when there is one that may be it, and that cannot be looked into.
    """
    hidden = []
    for pid in system.children(os.getpid()):
        if pid in forks or session_of(pid) not in (pid, runner_pid):
            continue
        held = system.holds(pid, kept) if kept else None
        if held:
            return pid
        if held is None or (system.is_ending(pid) and not _has_ended(pid)):
            hidden.append(pid)
    hidden = [pid for pid in hidden if system.start_time(pid) >= forked]
    if not hidden:
        return NONE
    known = {_main_of(directory) for directory in others}
    return UNKNOWN if any(pid not in known for pid in hidden) else NONE


def _has_ended(pid: int) -> bool:
    """Wait for the end of a child that is ending, which takes no time; False if it takes any."""
    pidfd = system.open_pidfd(pid)
    if pidfd is None:
        return True
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        return bool(poll.poll(_LONGEST_ENDING_MS))
    finally:
        os.close(pidfd)


def session_of(pid: int) -> int:
    """Return the session of a process, also of one that has ended and was not reaped; 0 if there is none."""
    try:
        return os.getsid(pid)
    except OSError:
        return 0


def now_ticks() -> int:
    """Return the present as start times are counted, rounded down."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) * _TICKS // 1_000_000_000 if system.LINUX else 0


def age_ns(start: int) -> int:
    """Return how long ago a start time (kernel ticks) was; 0 for one that is not known."""
    return max(0, now_ticks() - start) * 1_000_000_000 // _TICKS if start else 0


def _main_of(directory: str) -> int:
    """Return the main process of a job; UNKNOWN for one that has begun and not said it, NONE for one that has not."""
    try:
        return read_record(RunRecord, f"{directory}/run").job_pid
    except (OSError, RecordError):
        return UNKNOWN if os.path.exists(f"{directory}/lock") else NONE
