"""The process that runners are forked from. It keeps spares ready, reaps, and holds what a killed runner must not lose.

It reads nothing from the daemon itself: its spares do. It ends when the daemon's end of the channel is closed, all that
was sent has been taken, and its last runner has ended.
"""

import gc
import os
import resource
import stat
import sys

from bgjobd.runner import spare, system
from bgjobd.runner.channel import Channel
from bgjobd.runner.hub import Hub
from bgjobd.runner.loop import READABLE, ChildSignals, Loop, settle_signals
from bgjobd.runner.pipes import Pipes

_SPARES = 2
_HIGHEST_FD = 1 << 16


class Child:
    """A spare, or a runner once `directory` is known."""

    __slots__ = ("directory", "kept")

    def __init__(self, kept: list[int]) -> None:
        self.directory: bytes | None = None
        self.kept = kept


class Zygote:
    """Forks spares and looks after runners.

    Args:
        channel: to the daemon.
        state_dir: where the daemon keeps its state.
    """

    def __init__(self, channel: Channel, state_dir: str) -> None:
        self._channel = channel
        self._state_dir = state_dir
        self._loop = Loop()
        self._signals = ChildSignals()
        self._hub = Hub()
        self._children: dict[int, Child] = {}
        self._daemon_is_gone = False

    def run(self) -> None:
        """Work until the daemon and the last runner are gone."""
        system.become_subreaper()
        self._loop.watch(self._signals.fd, READABLE, self._child_signal)
        self._loop.watch(self._hub.zygote_end, READABLE, self._hub_ready)
        self._refill()
        while self._children or not self._daemon_is_gone:
            self._loop.run_once()
            self._refill()

    def _refill(self) -> None:
        """Keep `_SPARES` spares, as long as there is somebody to send them work."""
        spares = sum(child.directory is None for child in self._children.values())
        while spares < _SPARES and not self._daemon_is_gone:
            self._fork_spare()
            spares += 1

    def _fork_spare(self) -> None:
        try:
            pipes = Pipes(len(self._children))
        except OSError:
            pipes = None  # out of descriptors: the runner makes its own, and nobody can rescue it
        pid = os.fork()
        if pid == 0:
            self._become_spare(pipes)
        kept = []
        if pipes is not None:
            kept = pipes.kept()
            for fd in pipes.job_ends():
                os.close(fd)
        self._children[pid] = Child(kept)

    def _become_spare(self, pipes: Pipes | None) -> None:
        """Never returns: the fork ends here, whatever happens."""
        status = spare.CRASHED
        try:
            self._signals.close()  # also unhooks it from the interpreter
            status = spare.live(self._channel, self._hub, pipes, self._highest_fd(pipes))
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)

    def _highest_fd(self, pipes: Pipes | None) -> int:
        """Return a number that no descriptor here exceeds."""
        fds = [self._hub.zygote_end, self._hub.runner_end, self._channel.fileno()]
        fds += pipes.kept() + pipes.job_ends() if pipes else []
        for child in self._children.values():
            fds += child.kept
        return max(fds)

    def _hub_ready(self, _events: int) -> None:
        """Note which child took which job, and which standard inputs are closed."""
        for word, pid, rest in self._hub.messages():
            child = self._children.get(pid)
            if child is None:
                continue
            if word == b"took":
                child.directory = rest
            elif word == b"closed" and child.kept:
                os.close(child.kept[0])
                child.kept[0] = -1

    def _child_signal(self, _events: int) -> None:
        self._signals.drain()
        self._hub_ready(0)  # what they said before they ended
        while True:
            try:
                pid, status, _usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._children.pop(pid, None)
            if child is not None:
                self._child_ended(child, status)

    def _child_ended(self, child: Child, status: int) -> None:
        for fd in child.kept:
            if fd >= 0:
                os.close(fd)
        if os.waitstatus_to_exitcode(status) == spare.DAEMON_GONE:
            self._daemon_is_gone = True


def main(argv: list[str]) -> int:
    """Run a zygote: `zygote <fd of the channel> <state directory>`."""
    fd, state_dir = int(argv[1]), argv[2]
    _tidy_descriptors(fd)
    settle_signals()
    os.chdir("/")
    os.set_inheritable(fd, False)
    channel = Channel(fd)
    gc.collect()
    gc.freeze()
    gc.disable()
    Zygote(channel, state_dir).run()
    return 0


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


def _is_file(fd: int) -> bool:
    """Whether it is a regular file: then it is the daemon's log, and errors of runners belong there."""
    try:
        return stat.S_ISREG(os.fstat(fd).st_mode)
    except OSError:
        return False
