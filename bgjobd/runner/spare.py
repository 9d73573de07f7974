"""A fork of the zygote: prepares, waits for a job, claims it, and is its runner from then on."""

import os
import sys
import time

from bgjobd.runner import system
from bgjobd.runner.channel import Channel
from bgjobd.runner.claim import Abandoned, Claim, claim_again, claim_new
from bgjobd.runner.foreign_tree import RUNNER_NAME, SPARE_NAME
from bgjobd.runner.hints import give_hint
from bgjobd.runner.hub import Hub
from bgjobd.runner.logfile import LogWriter
from bgjobd.runner.loop import ChildSignals, poll_now
from bgjobd.runner.pipes import Pipes
from bgjobd.runner.records import ExitRecord, write_record
from bgjobd.runner.rehearsal import play
from bgjobd.runner.signals import SIGKILL
from bgjobd.runner.spool import Spool
from bgjobd.runner.start import Links, identity, run_job

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

ENDED = 0
DAEMON_GONE = 3  # nobody will send work any more
CRASHED = 70

_ABANDONED = "its runner and zygote were killed while it was started: it may have run"


class Spare:
    """A fork of the zygote, until it has a job. Made by the zygote, lives in the fork.

    Args:
        channel: where work comes from.
        hub: to the zygote.
        zygote: path of the zygote's lock.
        spool: where to prepare.
        pipes: for the job; None: there were no descriptors for them, make some.
        parent: pid of the zygote, whose child it is.
        directory: of the job to run; empty: wait for one.
    """

    __slots__ = ("_channel", "_hub", "_log", "_parent", "_pipes", "_spool", "_zygote", "directory")

    def __init__(
        self,
        channel: Channel,
        hub: Hub,
        zygote: str,
        spool: Spool,
        pipes: Pipes | None,
        parent: int,
        directory: str = "",
    ) -> None:
        self._channel = channel
        self._hub = hub
        self._zygote = zygote
        self._spool = spool
        self._pipes = pipes
        self._parent = parent
        self.directory = directory
        self._log = LogWriter()

    def fds(self) -> list[int]:
        """Return the descriptors that were made for it."""
        return self._pipes.kept() + self._pipes.job_ends() if self._pipes else []

    def hand_over(self) -> list[int]:
        """For the zygote after the fork: close the job's ends of the pipes and return the others, to be kept.

        -1 for each of them when the spare makes its own.
        """
        if self._pipes is None:
            return [-1, -1, -1]
        for fd in self._pipes.job_ends():
            os.close(fd)
        return self._pipes.kept()

    def release(self) -> None:
        """For the zygote when it could not be forked: close all of the pipes."""
        for fd in self.fds():
            os.close(fd)

    def live(self, highest_fd: int, ready: "Callable[[], None] | None" = None) -> int:
        """Prepare, wait for a job, and be its runner. Returns the exit status.

        Args:
            highest_fd: no inherited descriptor is above this.
            ready: called when it is prepared.
        """
        self._become_independent(highest_fd)
        self._prepare()
        system.die_with_parent(SIGKILL)  # without a zygote it is of no use, until it has a job; see `claim`
        if os.getppid() != self._parent:
            return ENDED  # it was killed before that could be noticed
        if ready is not None:
            ready()
        links = Links(self._channel, self._hub)
        status = self._serve(links)
        links.close()
        return status

    def _become_independent(self, highest_fd: int) -> None:
        """Leave the zygote's descriptors, and be a process of its own kind."""
        self._hub.leave_zygote_end()
        close_others({*self._channel.descriptors(), self._hub.runner_end, *self.fds()}, highest_fd)
        system.become_subreaper()
        system.set_name(SPARE_NAME)

    def _prepare(self) -> None:
        """Rehearse and make an empty log, unless there is work already. What a full disk refuses is done later."""
        if self.directory or poll_now(self._channel.fileno()):
            return
        pid = os.getpid()
        try:
            play(self._spool.rehearsal_dir)
            self._log.open(self._spool.log_dir(pid))
        except OSError:
            self._spool.forget(pid)
            self._log = LogWriter()

    def _serve(self, links: Links) -> int:
        """Wait for a job and run it. Returns the exit status."""
        run, oom_score = identity(), system.OomScore()
        claim = claim_again(self.directory, self._zygote, self._hub.tell) if self.directory else self._next_claim()
        if claim is None:
            self._spool.forget(os.getpid())
            return ENDED if self.directory else DAEMON_GONE
        system.set_name(RUNNER_NAME)
        run_job(claim, links, self._pipes or Pipes(0), self._log, run, oom_score)
        claim.release()
        return ENDED

    def _next_claim(self) -> Claim | None:
        """Wait for a job to run; None when there will be no more."""
        while True:
            packet = self._channel.receive()
            if packet is None:
                return None
            word, _, path = packet.partition(b" ")
            if word == b"spawn":
                claim = self._try_claim(system.decode_name(path))
                if claim is not None:
                    return claim

    def _try_claim(self, directory: str) -> Claim | None:
        try:
            claim = claim_new(directory, self._zygote, self._hub.tell)
        except Abandoned:
            self._give_up(directory)
            return None
        if claim is None:  # whoever has it may have told an earlier daemon, and nobody since
            give_hint(self._channel, self._hub, b"taken", os.path.basename(directory).encode())
        return claim

    def _give_up(self, directory: str) -> None:
        """Say that nobody knows what became of a job; better than to run it twice."""
        record = ExitRecord(by="lost", reason="unobserved", error=_ABANDONED, ended_ns=time.time_ns())
        try:
            write_record(record, f"{directory}/exit")
        except OSError:
            return  # it is asked for again some time, and is lost still
        give_hint(self._channel, self._hub, b"ended", os.path.basename(directory).encode())


def live(life: "Callable[[int], int]", inherited: ChildSignals, highest_fd: int) -> int:
    """Be what a fork of the zygote is for. Returns the exit status, whatever happens in its life.

    Args:
        life: called with `highest_fd`; returns the exit status.
        inherited: the zygote's, of no use to a fork.
        highest_fd: no inherited descriptor is above this.
    """
    try:
        inherited.close()
        return life(highest_fd)
    except BaseException:  # the top of a process
        sys.excepthook(*sys.exc_info())
        return CRASHED


def close_others(own: set[int], highest_fd: int) -> None:
    """Close every inherited descriptor but 0, 1, 2 and `own`: most are the kept ends of other jobs' pipes.

    Another job's standard input held open here would never come to its end.
    """
    position = 3
    for fd in sorted(own):
        if position > highest_fd:
            return
        os.closerange(position, fd)
        position = fd + 1
    os.closerange(position, highest_fd + 1)
