"""The process that runners are forked from. It keeps spares ready, reaps, and holds what a killed runner must not lose.

It reads nothing from the daemon itself: its spares do. It ends when the daemon's end of the channel is closed, all that
was sent has been taken, and its last runner has ended.
"""

import fcntl
import os
import resource
import stat
import sys

from bgjobd.runner import lean, practice, rehearsal, rescue, spare, system
from bgjobd.runner.channel import Channel
from bgjobd.runner.claim import noted_runner
from bgjobd.runner.foreign_tree import ZYGOTE_NAME, End
from bgjobd.runner.hints import Hints
from bgjobd.runner.hub import Hub
from bgjobd.runner.loop import HANGUP, READABLE, ChildSignals, Loop, poll_now, settle_signals
from bgjobd.runner.orphans import NONE, UNKNOWN, Orphans, find_living, now_ticks, session_of
from bgjobd.runner.pipes import Pipes
from bgjobd.runner.reports import Reports
from bgjobd.runner.signals import signal
from bgjobd.runner.spool import Spool
from bgjobd.runner.tree import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_SPARES = 4
_FEW_SPARES = 1  # from so few on new ones are forked
_REFILL_DELAY_S = 0.005  # forks right after a start would take the processors from the command that begins to run
_HIGHEST_FD = 1 << 16
_UNPRACTISED = "unpractised"
_PRACTICE_BYTES = 1 << 20  # with less room on the disk than this there is no practice
_LONGEST_PRACTICE_S = 2  # it takes a twentieth of a second
_PAUSE_S = 1.0  # before a runner that failed by itself gets a successor, and what could not be forked is tried again


class Child:
    """A fork: a spare, or a runner once `directory` is known."""

    __slots__ = ("directory", "forked", "kept", "main_pid", "main_start", "reports", "unnoted")

    def __init__(self, kept: list[int], directory: str, forked: int) -> None:
        self.directory = directory
        self.forked = forked  # when it was, at the earliest (kernel ticks)
        self.kept = kept  # our copies of the runner's ends of the job's pipes; -1 for one that is closed, or not ours
        self.main_pid = NONE  # of its job, found by us because there is no run record
        self.main_start = 0
        self.reports: Reports | None = None  # to a rescue runner
        self.unnoted = bool(directory)  # it may have started its job although the job's lock does not name it

    def keep_terminal(self, master: int) -> None:
        """Keep the terminal of its job instead of the pipes; of these only the one that its output goes through."""
        os.close(self.kept[0])
        os.close(self.kept[2])
        self.kept = [master, self.kept[1], -1]

    def forget_reports(self) -> None:
        """Close the pipe to a rescue runner that is gone, if there was one."""
        if self.reports is not None:
            self.reports.close()
            self.reports = None

    def close(self) -> None:
        """Let go of everything that was kept for it."""
        self.forget_reports()
        for fd in self.kept:
            if fd >= 0:
                os.close(fd)


class Zygote:
    """Forks spares and looks after runners.

    Args:
        channel: to the daemon.
        lock_path: its lock, which it holds.
        lock_fd: the same; forks must not hold on to it.
        spool: where spares prepare.
    """

    def __init__(self, channel: Channel, lock_path: str, lock_fd: int, spool: Spool) -> None:
        self._channel = channel
        self._spool = spool
        self._lock_path = lock_path
        self._loop = Loop()
        self._hints = Hints(channel, self._loop)
        self._signals = ChildSignals()
        self._hub = Hub()
        self._children: dict[int, Child] = {}
        self._spares: set[int] = set()  # those of them that have not started a job
        self._highest_fd = max(lock_fd, self._hub.zygote_end, self._hub.runner_end, *channel.descriptors())
        self._orphans = Orphans()
        self._late: dict[str, Child | None] = {}  # by job: to be forked after a pause, see `_fork_later`
        self._may_refill = True
        self._daemon_is_gone = False

    def run(self) -> None:
        """Work until the daemon and the last runner are gone."""
        system.become_subreaper()
        self._loop.watch(self._signals.fd, READABLE, self._child_signal)
        self._loop.watch(self._hub.zygote_end, READABLE, self._hub_ready)
        self._refill()
        while self._children or self._late or not self._daemon_is_gone:
            self._loop.run_once()
            self._refill()

    # --- forking -------------------------------------------------------------------------------------------------

    def _refill(self) -> None:
        """Keep spares, as long as there is somebody to send them work.

        A spare that has taken a job counts until it has started it: a fork at that moment would slow the start down
        (measured: p50 2336 µs instead of 1818 µs). So would one while the command begins to run: as long as there is
        a spare, it waits until that is over.
        """
        if len(self._spares) > _FEW_SPARES or not self._wants_spares():
            return
        if not self._spares:
            self._refill_now()
        elif self._loop.remaining("spares") is None:
            self._loop.set_timer("spares", _REFILL_DELAY_S, self._refill_now)

    def _refill_now(self) -> None:
        self._loop.stop_timer("spares")
        if self._wants_spares():
            self._fork_spares([""] * (_SPARES - len(self._spares)))

    def _wants_spares(self) -> bool:
        return self._may_refill and not self._daemon_is_gone

    def _fork_spares(self, directories: list[str]) -> None:
        """Fork spares, or with a directory the runner of that job.

        All is made first and the forks follow each other directly: whatever the zygote writes to between two forks they
        do not share, which was 350 KiB for each of them with the making in between.
        """
        forked = now_ticks()  # before it is: on a busy machine a fork has started a job before we go on
        spares = [self._make_spare(directory) for directory in directories]
        self._note_fds([fd for made in spares for fd in made.fds()])
        pids = self._fork([made.live for made in spares])
        for pid, made in zip(pids, spares, strict=False):
            self._children[pid] = Child(made.hand_over(), made.directory, forked)
            self._spares.add(pid)
        for made in spares[len(pids) :]:
            made.release()
            if made.directory:
                self._fork_later(made.directory, None)
            else:
                self._pause_refill()

    def _make_spare(self, directory: str) -> spare.Spare:
        try:
            pipes = Pipes(len(self._children))
        except OSError:
            pipes = None  # out of descriptors: the runner makes its own, and nobody can rescue its job
        return spare.Spare(self._channel, self._hub, self._lock_path, self._spool, pipes, os.getpid(), directory)

    def _fork_rescue(self, child: Child) -> None:
        """Fork the successor of a runner that was killed."""
        try:
            reports, write_end = os.pipe()
        except OSError:  # out of descriptors
            self._fork_later(child.directory, child)
            return
        os.set_blocking(write_end, False)
        child.reports = Reports(write_end, self._loop, self._orphans)
        ends, main = self._orphans.ends(), (child.main_pid, child.main_start)
        legacy = rescue.Legacy(child.directory, child.kept, reports, ends, main)
        self._note_fds([reports, write_end])
        pids = self._fork([lambda highest_fd: rescue.live(self._channel, self._hub, legacy, highest_fd)])
        os.close(reports)
        if pids:
            self._children[pids[0]] = child
        else:
            child.forget_reports()
            self._fork_later(child.directory, child)

    def _fork_later(self, directory: str, child: Child | None) -> None:
        """Fork for a job after a pause: the successor of `child`, or a runner for one of which nothing ran."""
        self._late[directory] = child
        self._loop.set_timer(f"fork {directory}", _PAUSE_S, lambda: self._fork_late(directory))

    def _fork_late(self, directory: str) -> None:
        child = self._late.pop(directory)
        if child is None:
            self._fork_spares([directory])
        else:
            self._fork_rescue(child)

    def _fork(self, lives: "list[Callable[[int], int]]") -> list[int]:
        """Return the pids of forks that do nothing but live one of `lives` each, see `spare.live`.

        They are fewer, the last ones missing, when there may be no more processes (fork(2): EAGAIN, ENOMEM).
        """
        pids: list[int] = []
        for life in lives:
            try:
                pid = os.fork()
            except OSError:
                return pids
            if pid == 0:
                os.setsid()
                os._exit(spare.live(life, self._signals, self._highest_fd))  # nothing of the zygote may run on here
            pids.append(pid)
        return pids

    def _note_fds(self, fds: list[int]) -> None:
        """Remember that these descriptors are open: a fork closes all up to the highest one."""
        self._highest_fd = max(self._highest_fd, *fds) if fds else self._highest_fd

    # --- what happens to forks -----------------------------------------------------------------------------------

    def _hub_ready(self, _events: int) -> None:
        for word, pid, rest, fd in self._hub.messages():
            child = self._children.get(pid)
            if word == b"hint":
                kind, _, job_id = rest.partition(b" ")
                self._hints.give(kind, job_id)
            elif child is None or (word == b"terminal" and child.kept[1] < 0):
                if fd >= 0:
                    os.close(fd)
            elif word == b"took":
                child.directory = os.fsdecode(rest)
            elif word == b"unnoted":
                child.unnoted = True
            elif word == b"spare":
                self._spares.discard(pid)
            elif word == b"closed" and child.kept[0] >= 0:
                os.close(child.kept[0])
                child.kept[0] = -1
            elif word == b"terminal":
                child.keep_terminal(fd)
                self._note_fds([fd])

    def _child_signal(self, _events: int) -> None:
        """Reap. What a runner said before it died is read before its death is looked at."""
        self._signals.drain()
        self._orphans.begin()
        dead: list[tuple[int, int]] = []
        self._reap(dead)
        self._hub_ready(0)
        while dead:
            pid, status = dead.pop(0)
            self._child_ended(pid, status, dead)

    def _reap(self, dead: list[tuple[int, int]]) -> None:
        """Reap everyone who has ended: our forks into `dead` with their status, the others are orphans."""
        while True:
            leaders: list[int] = []  # the start time, if it led a session
            try:
                ended = system.reap_child(lambda pid, _status: _look_at_leader(pid, leaders))  # noqa: B023 - called now
            except ChildProcessError:
                return
            if ended is None:
                return
            pid, status, usage = ended
            if pid in self._children:
                dead.append((pid, status))
            else:
                end = End(pid, leaders[0] if leaders else 0, status, Usage.of(usage))
                if leaders:
                    self._orphans.add(end)  # it may have been a main process
                self._report(end)

    def _report(self, end: End) -> None:
        """Tell every rescue runner about the end of an orphan."""
        for child in self._children.values():
            if child.reports is not None:
                child.reports.tell(end)

    def _child_ended(self, pid: int, status: int, dead: list[tuple[int, int]]) -> None:
        child = self._children.pop(pid)
        self._spares.discard(pid)
        code = os.waitstatus_to_exitcode(status)
        if code == spare.DAEMON_GONE:
            self._daemon_is_gone = True
        if not child.directory:
            self._spare_ended(pid, child, code)
        elif code == spare.ENDED:
            child.close()
        elif code == rescue.NOTHING_RAN:
            child.close()
            self._fork_spares([child.directory])
        elif child.reports is not None:  # a rescue runner: what it was told about the job holds for its successor
            self._rescue(child, code)
        elif child.unnoted or noted_runner(child.directory) in (pid, None):
            if not os.path.exists(f"{child.directory}/run"):
                child.main_pid, child.main_start = self._find_main(pid, child, dead)
            self._rescue(child, code)
        else:  # killed before it could start anything or keep others off: the job may be somebody else's by now
            self._spare_ended(pid, child, code)

    def _spare_ended(self, pid: int, child: Child, code: int) -> None:
        child.close()
        self._spool.forget(pid)
        if code == spare.CRASHED:
            self._pause_refill()
        if code not in (spare.ENDED, spare.DAEMON_GONE):
            self._hints.give(b"check", b"")  # it may have taken a packet with it

    def _pause_refill(self) -> None:
        """Something is wrong with all spares: do not fork as fast as they fail."""
        self._may_refill = False
        self._loop.set_timer("refill", _PAUSE_S, self._allow_refill)

    def _allow_refill(self) -> None:
        """Go on, unless the daemon has gone meanwhile: spares that fail cannot tell."""
        self._may_refill = True
        if poll_now(self._channel.fileno()) & HANGUP:
            self._daemon_is_gone = True

    def _find_main(self, runner_pid: int, child: Child, dead: list[tuple[int, int]]) -> tuple[int, int]:
        """Find the main process of a runner that was killed between starting it and writing that down, and its start.

        Returns:
            Its pid, or NONE or UNKNOWN; and when it started (kernel ticks).
        """
        if not system.has_subreaper():
            return UNKNOWN, 0  # whatever it started is nobody's child now
        if not _has_descriptors():
            return UNKNOWN, 0  # nobody can be looked at
        kept = [fd for fd in child.kept if fd >= 0]
        main_pid = find_living(runner_pid, child.forked, kept, self._children, self._without_runner(dead))
        if main_pid:
            return main_pid, system.start_time(main_pid)
        self._reap(dead)  # it may have ended while we looked
        main_pid = self._orphans.find_ended(child.forked, self._without_runner(dead))
        return main_pid, self._orphans.start_of(main_pid)

    def _without_runner(self, dead: list[tuple[int, int]]) -> list[str]:
        """Return the directories of the other jobs whose first runners are dead, reaped as `dead` or rescued."""
        died = {pid for pid, _status in dead}
        heirs = [other for pid, other in self._children.items() if other.reports is not None or pid in died]
        heirs += [child for child in self._late.values() if child is not None]
        return [heir.directory for heir in heirs if heir.directory]

    def _rescue(self, child: Child, code: int) -> None:
        """Fork a successor: at once for a runner that was killed, after a pause for one that failed by itself."""
        child.forget_reports()
        if code < 0:
            self._fork_rescue(child)
        else:
            self._fork_later(child.directory, child)


def main(argv: list[str]) -> int:
    """Run a zygote: `zygote <fd of the channel> <state directory>`, and `unpractised` if it shall not practise."""
    fd, state_dir = int(argv[1]), argv[2]
    _tidy_descriptors(fd)
    settle_signals()
    os.chdir("/")
    os.set_inheritable(fd, False)
    lock_path, lock_fd = _lock_name(state_dir)
    spool = Spool(state_dir)
    spool.open()
    channel = Channel(fd, spool.turns)
    _practise(spool, lock_path, fd, may_practise=argv[3:] != [_UNPRACTISED])
    system.set_name(ZYGOTE_NAME)
    lean.settle()
    Zygote(channel, lock_path, lock_fd, spool).run()
    spool.close()
    os.unlink(lock_path)
    return 0


def _practise(spool: Spool, lock_path: str, channel_fd: int, *, may_practise: bool) -> None:
    """Prepare the play for all spares, and practise being one. A disk that fills up meanwhile may not hold up jobs."""

    def start_over(_number: int, _frame: object) -> None:
        os.set_inheritable(channel_fd, True)
        os.execv(sys.executable, [*sys.orig_argv, _UNPRACTISED])  # a runner waits for room for ever: away with it

    try:
        if not may_practise:
            practice.clean_up(spool)  # we started over
        rehearsal.prepare(spool.rehearsal_dir)
        if may_practise and _free_bytes(spool.rehearsal_dir) >= _PRACTICE_BYTES:
            signal.signal(signal.SIGALRM, start_over)
            signal.alarm(_LONGEST_PRACTICE_S)
            practice.practise(spool, lock_path)
    except OSError:
        return  # a full disk: forks take more memory and time, that is all
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, signal.SIG_IGN)


def _free_bytes(directory: str) -> int:
    disk = os.statvfs(directory)
    return disk.f_bavail * disk.f_frsize


def _lock_name(state_dir: str) -> tuple[str, int]:
    """Lock `zygote-<pid>.lock`: as long as that holds, killed runners get successors. Remove those of dead zygotes."""
    for name in os.listdir(state_dir):
        if name.startswith("zygote-") and name.endswith(".lock"):
            _remove_if_dead(os.path.join(state_dir, name))
    path = os.path.join(state_dir, f"zygote-{os.getpid()}.lock")
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return path, fd


def _remove_if_dead(path: str) -> None:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # it has just ended, and removed it itself
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
    except OSError:
        pass  # EAGAIN: that zygote lives
    finally:
        os.close(fd)


def _look_at_leader(pid: int, leaders: list[int]) -> None:
    """Note when a process started that has ended and is not reaped yet, if it led a session."""
    if session_of(pid) == pid:
        leaders.append(system.start_time(pid))


def _tidy_descriptors(channel_fd: int) -> None:
    """Keep 0, 1 and 2 in use, and let no stray descriptor of whoever started the daemon live on in every job."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        if fd < 2 or not _is_file(fd):
            os.dup2(null, fd)
    os.closerange(3, channel_fd)
    os.closerange(channel_fd + 1, _HIGHEST_FD)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:  # three for each job; jobs get their own limit back, see Spec.nofile_soft
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _has_descriptors() -> bool:
    """Whether there is one left: without it no process can be looked at."""
    try:
        os.close(os.dup(0))
    except OSError:
        return False
    return True


def _is_file(fd: int) -> bool:
    """Whether it is a regular file: then it is the daemon's log, and errors of runners belong there."""
    try:
        return stat.S_ISREG(os.fstat(fd).st_mode)
    except OSError:
        return False
