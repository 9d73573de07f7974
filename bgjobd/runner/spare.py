"""A fork of the zygote: waits for a job, starts it, and is its runner from then on."""

import fcntl
import os
import time

from bgjobd.runner import spawn, system
from bgjobd.runner.channel import Channel
from bgjobd.runner.hub import Hub
from bgjobd.runner.job import Job
from bgjobd.runner.logfile import KIND_STDERR, KIND_STDOUT, LogWriter
from bgjobd.runner.loop import ChildSignals, Loop
from bgjobd.runner.pipes import Pipes
from bgjobd.runner.pump import Source
from bgjobd.runner.records import ExitRecord, RecordError, RunRecord, Spec, read_record, write_record
from bgjobd.runner.spawn import SpawnError, Stdio
from bgjobd.runner.tree import Tree

ENDED = 0
DAEMON_GONE = 3  # nobody will send work any more
CRASHED = 70

_RECORD_RETRY_S = 2.0


class Claim:
    """A job that this process may run: it holds the job's lock, and nobody has run it before."""

    def __init__(self, directory: str, lock_fd: int) -> None:
        self.directory = directory
        self.lock_fd = lock_fd  # open until this process ends, however it ends
        self.spec_error = ""
        try:
            self.spec = read_record(Spec, os.path.join(directory, "spec"))
        except (OSError, RecordError) as error:
            self.spec = Spec(job_id=os.path.basename(directory))
            self.spec_error = f"cannot read what was asked: {error}"


class Links:
    """What every runner has: a way to the daemon, one to the zygote, and a loop that its children wake."""

    def __init__(self, channel: Channel, hub: Hub) -> None:
        self.channel = channel
        self.hub = hub
        self.loop = Loop()
        self.signals = ChildSignals()


def live(channel: Channel, hub: Hub, pipes: Pipes | None, highest_fd: int) -> int:
    """Be a spare, then a runner.

    Args:
        channel: where work comes from.
        hub: to the zygote.
        pipes: for the job; None: there were no descriptors for them, make some.
        highest_fd: no inherited descriptor is above it.

    Returns:
        The exit status for this fork.
    """
    hub.leave_zygote_end()
    own = {channel.fileno(), hub.runner_end, *(pipes.kept() + pipes.job_ends() if pipes else ())}
    _close_others(own, highest_fd)
    os.setsid()
    system.become_subreaper()
    links = Links(channel, hub)
    claim = None
    while claim is None:
        packet = channel.receive()
        if packet is None:
            return DAEMON_GONE
        word, _, path = packet.partition(b" ")
        if word == b"spawn":
            claim = _claim(os.fsdecode(path))
    hub.tell(b"took", path)
    _run(claim, links, pipes or Pipes(0))
    return ENDED


def _claim(directory: str) -> Claim | None:
    """Lock a job and read its spec; None when somebody else runs it, or has run it, or it is not there."""
    try:
        lock_fd = os.open(os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever held the lock before may have run it: the request was sent twice, by two daemons.
        if not any(os.path.exists(os.path.join(directory, name)) for name in ("run", "exit")):
            return Claim(directory, lock_fd)
    except OSError:
        pass  # EAGAIN: a runner holds it
    os.close(lock_fd)
    return None


def _run(claim: Claim, links: Links, pipes: Pipes) -> None:
    """Start the job and supervise it to its end."""
    spec = claim.spec
    try:
        if claim.spec_error:
            raise SpawnError(126, claim.spec_error)
        log = LogWriter(os.path.join(claim.directory, "log"), spec.max_output_bytes)
        _open_log(log)
        stdio, sources, stdin_fd = _connect(spec, pipes)
        run = _identity()
        run.job_pid = spawn.spawn(spec, stdio.actions())
    except SpawnError as error:
        _write_failure(claim, links, error)
        return
    stdio.close()
    run.job_start = system.start_time(run.job_pid)
    job = Job(claim.directory, spec, run, Tree(run.job_pid), log, links)
    job.attach(sources, stdin_fd)
    links.hub.tell(b"spare")
    job.run()


def _open_log(log: LogWriter) -> None:
    try:
        log.open()
    except OSError as error:
        raise SpawnError(126, f"cannot create the log: {error.strerror}") from error


def _connect(spec: Spec, pipes: Pipes) -> tuple[Stdio, list[Source], int]:
    """Return the job's standard streams, what to read of them, and what to write its input to (-1: a file)."""
    stdin_job, stdin_fd = pipes.stdin_job, pipes.stdin
    if spec.stdin_file is not None:
        os.close(stdin_fd)
        os.close(stdin_job)
        stdin_job, stdin_fd = spawn.open_stdin_file(spec), -1
    sources = [Source(pipes.stdout, KIND_STDOUT)]
    if spec.merge_stderr:
        os.close(pipes.stderr)
        os.close(pipes.stderr_job)
        return Stdio(stdin_job, pipes.stdout_job, pipes.stdout_job), sources, stdin_fd
    sources.append(Source(pipes.stderr, KIND_STDERR))
    return Stdio(stdin_job, pipes.stdout_job, pipes.stderr_job), sources, stdin_fd


def _identity() -> RunRecord:
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
    while True:
        try:
            write_record(record, os.path.join(claim.directory, "exit"), fsync=claim.spec.fsync)
            break
        except OSError:
            time.sleep(_RECORD_RETRY_S)
    links.channel.send(b"failed", claim.spec.job_id.encode())


def _close_others(own: set[int], highest_fd: int) -> None:
    """Close every inherited descriptor but 0, 1, 2 and `own`: most are the kept ends of other jobs' pipes.

    Another job's standard input held open here would never come to its end.
    """
    position = 3
    for fd in sorted(own):
        os.closerange(position, fd)
        position = fd + 1
    os.closerange(position, highest_fd + 1)
