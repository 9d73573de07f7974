"""A fork of the zygote: waits for a job, starts it, and is its runner from then on."""

import os
import signal
import time

from bgjobd.runner import spawn, system
from bgjobd.runner.channel import Channel
from bgjobd.runner.claim import Abandoned, Claim, claim_again, claim_new
from bgjobd.runner.foreign_tree import RUNNER_NAME, SPARE_NAME
from bgjobd.runner.hub import Hub
from bgjobd.runner.job import Job
from bgjobd.runner.logfile import KIND_STDERR, KIND_STDOUT, LogWriter
from bgjobd.runner.loop import ChildSignals, Loop
from bgjobd.runner.pipes import Pipes
from bgjobd.runner.pump import Source
from bgjobd.runner.records import ExitRecord, RunRecord, Spec, write_record
from bgjobd.runner.spawn import SpawnError, Stdio
from bgjobd.runner.tree import Tree

ENDED = 0
DAEMON_GONE = 3  # nobody will send work any more
CRASHED = 70

_RECORD_RETRY_S = 2.0
_ABANDONED = "its runner and zygote were killed while it was started: it may have run"


class Links:
    """What every runner has: a way to the daemon, one to the zygote, and a loop that its children wake."""

    def __init__(self, channel: Channel, hub: Hub) -> None:
        self.channel = channel
        self.hub = hub
        self.loop = Loop()
        self.signals = ChildSignals()

    def watch_zygote(self) -> None:
        """Let go of the daemon's channel when the zygote dies: only then does the daemon see its end, and can react."""
        self.loop.watch(self.hub.runner_end, 0, self._zygote_died)

    def _zygote_died(self, _events: int) -> None:
        self.loop.forget(self.hub.runner_end)
        self.channel.close()


class Spare:
    """A fork of the zygote, until it has a job.

    Args:
        channel: where work comes from.
        hub: to the zygote.
        zygote: path of the zygote's lock.
        pipes: for the job; None: there were no descriptors for them, make some.
        directory: of the job to run; empty: wait for one.
    """

    def __init__(self, channel: Channel, hub: Hub, zygote: str, pipes: Pipes | None, directory: str) -> None:
        self._channel = channel
        self._hub = hub
        self._zygote = zygote
        self._pipes = pipes
        self._directory = directory
        self._zygote_pid = os.getpid()  # here we still are the zygote

    def live(self, highest_fd: int) -> int:
        """Be a spare, then a runner; no inherited descriptor is above `highest_fd`. Returns the exit status."""
        pipes = self._pipes
        self._hub.leave_zygote_end()
        own = {self._channel.fileno(), self._hub.runner_end, *(pipes.kept() + pipes.job_ends() if pipes else ())}
        close_others(own, highest_fd)
        os.setsid()
        system.become_subreaper()
        system.set_name(SPARE_NAME)
        system.die_with_parent(signal.SIGKILL)  # without a zygote nobody would replace it or rescue its job
        if os.getppid() != self._zygote_pid:
            return ENDED  # it was killed just before that took effect
        links = Links(self._channel, self._hub)
        if self._directory:
            claim = claim_again(self._directory, self._zygote, lambda: self._took(self._directory))
        else:
            claim = self._next_claim()
        if claim is None:
            return ENDED if self._directory else DAEMON_GONE
        system.die_with_parent(0)
        system.set_name(RUNNER_NAME)
        _run(claim, links, pipes or Pipes(0))
        return ENDED

    def _next_claim(self) -> Claim | None:
        """Wait for a job to run; None when there will be no more."""
        while True:
            packet = self._channel.receive()
            if packet is None:
                return None
            word, _, path = packet.partition(b" ")
            if word == b"spawn":
                claim = self._try_claim(os.fsdecode(path))
                if claim is not None:
                    return claim

    def _try_claim(self, directory: str) -> Claim | None:
        try:
            return claim_new(directory, self._zygote, lambda: self._took(directory))
        except Abandoned:
            self._give_up(directory)
            return None

    def _took(self, directory: str) -> None:
        self._hub.tell(b"took", os.fsencode(directory))

    def _give_up(self, directory: str) -> None:
        """Say that nobody knows what became of a job; better than to run it twice."""
        record = ExitRecord(by="lost", reason="unobserved", error=_ABANDONED, ended_ns=time.time_ns())
        try:
            write_record(record, os.path.join(directory, "exit"))
        except OSError:
            return  # it is asked for again some time, and is lost still
        self._channel.send(b"ended", os.path.basename(directory).encode())


def _run(claim: Claim, links: Links, pipes: Pipes) -> None:
    """Start the job and supervise it to its end."""
    spec = claim.spec
    try:
        if claim.spec_error:
            raise SpawnError(126, claim.spec_error)
        log = LogWriter(claim.path("log"), spec.max_output_bytes)
        _open_log(log)
        stdio, kept = _connect(spec, pipes)
        run = identity()
        run.job_pid = spawn.spawn(spec, stdio.actions())
    except SpawnError as error:
        _write_failure(claim, links, error)
        return
    stdio.close()
    run.job_start = system.start_time(run.job_pid)
    job = Job(claim, run, Tree(run.job_pid, claim.note_end), log, links)
    job.attach(sources_of(spec, kept), kept[0])
    links.hub.tell(b"spare")
    job.run()


def _open_log(log: LogWriter) -> None:
    try:
        log.open()
    except OSError as error:
        raise SpawnError(126, f"cannot create the log: {error.strerror}") from error


def _connect(spec: Spec, pipes: Pipes) -> tuple[Stdio, list[int]]:
    """Return the job's standard streams and the runner's ends of them, -1 for what the job does not have."""
    kept = pipes.kept()
    stdin_job, stderr_job = pipes.stdin_job, pipes.stderr_job
    if spec.stdin_file is not None:
        stdin_job, kept[0] = spawn.open_stdin_file(spec), -1
        os.close(pipes.stdin)
        os.close(pipes.stdin_job)
    if spec.merge_stderr:
        stderr_job, kept[2] = pipes.stdout_job, -1
        os.close(pipes.stderr)
        os.close(pipes.stderr_job)
    return Stdio(stdin_job, pipes.stdout_job, stderr_job), kept


def sources_of(spec: Spec, kept: list[int]) -> list[Source]:
    """Return what there is to read of a job, from the runner's ends of its streams."""
    kinds = (KIND_STDOUT, KIND_STDERR)
    return [Source(fd, kind) for fd, kind in zip(kept[1:], kinds, strict=True) if fd >= 0]


def identity() -> RunRecord:
    """Return the run record of a job that is started now by this process."""
    pid = os.getpid()
    return RunRecord(
        runner_pid=pid,
        runner_start=system.start_time(pid),
        boot_id=system.boot_id(),
        started_ns=time.time_ns(),
        started_monotonic_ns=time.monotonic_ns(),
        zygote=f"zygote-{os.getppid()}",
    )


def _write_failure(claim: Claim, links: Links, error: SpawnError) -> None:
    """Say in the exit record why nothing runs; as long as it takes, when the disk is full."""
    now_ns = time.time_ns()
    record = ExitRecord(
        reason="spawn_failed", exit_code=error.exit_code, error=str(error), started_ns=now_ns, ended_ns=now_ns
    )
    while not _try_write(record, claim):
        links.loop.set_timer("record", _RECORD_RETRY_S, _nothing)
        links.loop.run_once()
    links.channel.send(b"failed", claim.spec.job_id.encode())


def _try_write(record: ExitRecord, claim: Claim) -> bool:
    try:
        write_record(record, claim.path("exit"), fsync=claim.spec.fsync)
    except OSError:
        return False
    return True


def _nothing() -> None:
    """A timer that only wakes the loop."""


def close_others(own: set[int], highest_fd: int) -> None:
    """Close every inherited descriptor but 0, 1, 2 and `own`: most are the kept ends of other jobs' pipes.

    Another job's standard input held open here would never come to its end.
    """
    position = 3
    for fd in sorted(own):
        os.closerange(position, fd)
        position = fd + 1
    os.closerange(position, highest_fd + 1)
