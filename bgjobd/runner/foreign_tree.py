"""The processes of a job whose own runner was killed, seen by its successor: their brother, not their parent.

The kernel gave them to the zygote, which reaps them and reports each end of a session leader over a pipe. Members,
besides those of every `ScanTree`, are children of the zygote that are none of its forks and carry no other job's
BGJOB_ID. Where there is no subreaper nobody sees how the main process ends, and the job is lost; its output and its
tree are not.
"""

import os

from bgjobd.runner import ps, system
from bgjobd.runner.loop import READABLE, ChildSignals, Loop
from bgjobd.runner.receipt import wait_words
from bgjobd.runner.scan_tree import ScanTree
from bgjobd.runner.tree import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

ZYGOTE_NAME, SPARE_NAME = b"bgjob-zygote", b"bgjob-spare"
RUNNER_NAME, RESCUE_NAME = b"bgjob-runner", b"bgjob-rescue"
_FORK_NAMES = (ZYGOTE_NAME, SPARE_NAME, RUNNER_NAME, RESCUE_NAME)  # the first until a fork has given itself its own
_STATUS_RETRY_S = 0.02
_MAX_STATUS_RETRIES = 50


class End:
    """How a process ended, as the zygote reports it in one line."""

    __slots__ = ("pid", "start", "status", "usage")

    def __init__(self, pid: int, start: int, status: int, usage: Usage) -> None:
        self.pid = pid
        self.start = start  # when it had started (kernel ticks), of a session leader; 0: unknown
        self.status = status
        self.usage = usage

    def line(self) -> bytes:
        """Return it as a line."""
        usage = self.usage
        numbers = (self.pid, self.start, self.status, usage.utime_us, usage.stime_us, usage.max_rss_kib)
        return b"%d %d %d %d %d %d\n" % numbers

    @classmethod
    def parse(cls, line: bytes) -> "End":
        """Return what `line` made."""
        pid, start, status, *usage = (int(word) for word in line.split())
        return cls(pid, start, status, Usage(*usage))


class ForeignTree(ScanTree):
    """What `Tree` is, for a rescue runner.

    Args:
        main_pid: the job's main process.
        main_start: its start time: its pid may belong to somebody else by now.
        job_id: what its processes have as BGJOB_ID.
        witness: as in `Tree`.
        reports: where the zygote's reports come from.
    """

    def __init__(
        self, main_pid: int, main_start: int, job_id: str, witness: "Callable[[int], None]", reports: int
    ) -> None:
        super().__init__(main_pid, main_start, job_id, witness)
        self._reports = reports
        self._zygote_pid = os.getppid()
        self._retries = 0
        self._loop: Loop | None = None
        self._on_change: Callable[[], None] = _nothing

    def hear(self, end: End) -> None:
        """Note how a process ended; one that had the main process's pid before or after it is not that."""
        starts_agree = end.start == self._main_start or not end.start or not self._main_start
        if end.pid == self.main_pid and starts_agree:
            self.main_ended(end.status, "zygote", end.usage)
        else:
            self._note_end(end.pid, wait_words(end.status))

    def main_ended(self, status: int | None, seen_by: str, usage: Usage | None = None) -> None:
        """Note the end of the main process."""
        if not self.main_has_ended:
            if status is not None:
                self._witness(status)
                self._note_end(self.main_pid, wait_words(status))
            if usage is not None:
                self.usage.add(usage)
            self.main_has_ended, self.main_status, self.seen_by = True, status, seen_by

    def watch(self, signals: ChildSignals, loop: Loop, on_change: "Callable[[], None]") -> None:
        """Call `on_change` whenever somebody may have ended; it is to call `reap`."""
        super().watch(signals, loop, on_change)
        self._loop, self._on_change = loop, on_change
        loop.watch(self._reports, READABLE, self._report)

    def reap(self) -> None:
        """Find out whether the main process has ended and whether anybody is left."""
        if not self.main_has_ended and not self._main_is_there():
            self._ask_for_main()
        if self.main_has_ended:
            members = self.living()
            self.is_gone = not members
            for process in members:
                self._watch_end(process.pid)
        else:
            self._watch_end(self.main_pid)

    def _report(self, _events: int) -> None:
        """Read what the zygote reports; at its end the zygote is gone."""
        assert self._loop is not None
        data = os.read(self._reports, 65536)
        if not data:
            self._loop.forget(self._reports)
        for line in data.splitlines():
            self.hear(End.parse(line))
        self._on_change()

    def _ask_for_main(self) -> None:
        """The main process has ended. The zygote's report says how; without a report, the kernel does (Linux ≥ 6.15).

        Both do so only once somebody has reaped it, which may take a moment; not for ever.
        """
        if not system.has_subreaper():
            self.main_ended(None, "lost")
            return
        if self._zygote_lives() and (self._is_unreaped() or self._looks_again_later()):
            return  # the report is on its way; one that was lost never comes
        is_watched = self._ends is not None and self._ends.is_watched(self.main_pid)
        status = self._ends.status(self.main_pid) if self._ends is not None else None
        if status is not None:
            self.main_ended(status, "pidfd")
        elif not is_watched or not self._looks_again_later():
            self.main_ended(None, "lost")

    def _looks_again_later(self) -> bool:
        """Whether it is worth waiting a little longer; then that is seen to."""
        if self._loop is not None and self._loop.remaining("main status") is None:
            self._retries += 1
            self._loop.set_timer("main status", _STATUS_RETRY_S, self._on_change)
        return self._retries <= _MAX_STATUS_RETRIES

    def _is_unreaped(self) -> bool:
        """Whether the main process is a zombie, as `_main_is_there` says that it does not live."""
        found = system.process(self.main_pid)
        return found is not None and found.start == self._main_start

    def _zygote_lives(self) -> bool:
        return os.getppid() == self._zygote_pid

    def _reaper(self) -> int:
        return os.getppid()

    def _main_is_there(self) -> bool:
        if self.main_has_ended:
            return False
        found = system.process(self.main_pid)
        return found is not None and found.start == self._main_start and found.state != "Z"

    def _marked(self, everyone: dict[int, system.Process]) -> "Collection[int]":
        if not system.has_subreaper():
            return ps.marked(self._marker)
        return [process.pid for process in everyone.values() if self._was_given_to_zygote(process, everyone)]

    def _was_given_to_zygote(self, process: system.Process, everyone: dict[int, system.Process]) -> bool:
        """Whether it is an orphan of this job."""
        if process.parent != os.getppid() or process.name in _FORK_NAMES:
            return False
        marker = system.environment_marker(process.pid, b"BGJOB_ID")
        if marker is not None:
            return marker == self._marker
        # It hides. It is ours if no other rescued job can have given it to the zygote.
        rivals = [other for other in everyone.values() if other.name == RESCUE_NAME and other.parent == process.parent]
        return self._zygote_lives() and not rivals


def _nothing() -> None:
    """Until somebody watches."""
