"""Starts a claimed job and supervises it, or says in its exit record why it could not be started."""

import os
import sys
import time

from bgjobd.runner import spawn, system
from bgjobd.runner.channel import Channel
from bgjobd.runner.claim import Claim
from bgjobd.runner.hints import give_hint
from bgjobd.runner.hub import Hub
from bgjobd.runner.job import Job
from bgjobd.runner.logfile import KIND_STDERR, KIND_STDOUT, LogWriter
from bgjobd.runner.loop import ChildSignals, Loop
from bgjobd.runner.pipes import Pipes
from bgjobd.runner.pump import Source
from bgjobd.runner.records import ExitRecord, RunRecord, Spec, write_record
from bgjobd.runner.scan_tree import OrphaningTree
from bgjobd.runner.spawn import SpawnError, Stdio
from bgjobd.runner.terminal import Terminal
from bgjobd.runner.tree import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_RECORD_RETRY_S = 2.0


class Links:
    """What every runner has: a way to the daemon, one to the zygote, and a loop that its children wake."""

    __slots__ = ("channel", "hub", "loop", "signals")

    def __init__(self, channel: Channel, hub: Hub) -> None:
        self.channel = channel
        self.hub = hub
        self.loop = Loop()
        self.signals = ChildSignals()

    def watch_zygote(self) -> None:
        """Let go of the daemon's channel when the zygote dies: only then does the daemon see its end, and can react."""
        self.loop.watch(self.hub.runner_end, 0, self._zygote_died)

    def hint(self, word: bytes, job_id: str) -> None:
        """Tell the daemon to look at the records of the job."""
        give_hint(self.channel, self.hub, word, job_id.encode())

    def close(self) -> None:
        """Let go of what is this runner's own."""
        self.signals.close()

    def _zygote_died(self, _events: int) -> None:
        self.loop.forget(self.hub.runner_end)
        self.channel.close()


def run_job(
    claim: Claim, links: Links, pipes: Pipes, log: LogWriter, run: RunRecord, oom_score: system.OomScore
) -> None:
    """Start the job and supervise it to its end.

    Args:
        claim: the job.
        links: of this runner.
        pipes: for the job's standard streams.
        log: to be moved into the job's directory if it is open already, else to be opened there.
        run: says who this runner is; completed here.
        oom_score: of this process; closed here.
    """
    spec = claim.spec
    try:
        if claim.spec_error:
            raise SpawnError(126, claim.spec_error)
        _place_log(log, claim)
        stdio, kept = connect(spec, pipes, links.hub)
        run.started_ns, run.started_monotonic_ns = time.time_ns(), time.monotonic_ns()
        run.job_pid = spawn.spawn(spec, stdio.actions(), oom_score)
    except SpawnError as error:
        _write_failure(claim, links, error)
        return
    except Exception as error:  # a mistake of ours, which another runner would only make again, and again
        if system.children(os.getpid()):
            raise  # something runs: its rescue knows how to go on
        _write_failure(claim, links, _unforeseen(error))
        return
    stdio.close()
    oom_score.close()
    run.job_start = system.start_time(run.job_pid)
    links.hub.tell(b"spare")
    job = Job(claim, run, _tree(claim, run), log, links)
    attach(job, kept)
    job.run()


def _unforeseen(error: Exception) -> SpawnError:
    sys.excepthook(type(error), error, error.__traceback__)
    told = f"its runner failed ({type(error).__name__}: {error})"
    return SpawnError(126, f"cannot start the command: {told}; please report it, `bgjob daemon logs` has the details")


def _tree(claim: Claim, run: RunRecord) -> Tree:
    """Return what looks after the processes of a job whose parent we are."""
    if system.has_subreaper():
        return Tree(run.job_pid, claim.note_end)
    return OrphaningTree(run.job_pid, run.job_start, claim.spec.job_id, claim.note_end)


def attach(job: Job, kept: "list[int] | Terminal") -> None:
    """Give a job the runner's ends of its streams, or of its terminal."""
    if isinstance(kept, Terminal):
        job.attach_terminal(kept)
    else:
        job.attach(sources_of(kept), kept[0])


def sources_of(kept: list[int]) -> list[Source]:
    """Return what there is to read of a job, from the runner's ends of its streams; -1 stands for none."""
    found = []  # no comprehension: each of them makes a function, which would be 12 KiB more of each runner's own
    for position, kind in ((1, KIND_STDOUT), (2, KIND_STDERR)):
        if kept[position] >= 0:
            found.append(Source(kept[position], kind))
    return found


def identity() -> RunRecord:
    """Return a run record that says who this runner is."""
    pid = os.getpid()
    return RunRecord(
        runner_pid=pid,
        runner_start=system.start_time(pid),
        boot_id=system.boot_id(),
        zygote=f"zygote-{os.getppid()}",
    )


def _place_log(log: LogWriter, claim: Claim) -> None:
    try:
        log.place(claim.path("log"), claim.spec.max_output_bytes)
    except OSError as error:
        raise SpawnError(126, f"cannot create the log: {error.strerror}") from error


def connect(spec: Spec, pipes: Pipes, hub: Hub) -> "tuple[Stdio, list[int] | Terminal]":
    """Return the job's standard streams, and the runner's ends of them or its terminal.

    Raises:
        SpawnError: there is no terminal to be had, or no such file for its standard input.
    """
    return _connect_terminal(spec, pipes, hub) if spec.pty else _connect_pipes(spec, pipes)


def _connect_pipes(spec: Spec, pipes: Pipes) -> tuple[Stdio, list[int]]:
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


class _TerminalStdio(Stdio):
    """A terminal as the job's standard streams; with a file as its standard input where one was asked for."""

    __slots__ = ("_stdin_fd", "_terminal")

    def __init__(self, terminal: Terminal, stdin_fd: int) -> None:
        self._terminal = terminal
        self._stdin_fd = stdin_fd

    def actions(self) -> "Sequence[tuple[object, ...]]":
        return self._terminal.actions(self._stdin_fd)

    def close(self) -> None:
        if self._stdin_fd >= 0:
            os.close(self._stdin_fd)


def _connect_terminal(spec: Spec, pipes: Pipes, hub: Hub) -> tuple[Stdio, Terminal]:
    """Make the job's terminal, and have the zygote keep it. Of the pipes, one is what its output goes through."""
    stdin_fd = -1 if spec.stdin_file is None else spawn.open_stdin_file(spec)
    os.set_blocking(pipes.stdout_job, False)
    try:
        terminal = Terminal.make(spec.rows, spec.columns, (pipes.stdout, pipes.stdout_job))
    except OSError as error:
        raise SpawnError(126, f"cannot make a terminal: {error.strerror}") from error
    hub.hand_over(b"terminal", terminal.master)
    for fd in (pipes.stdin, pipes.stdin_job, pipes.stderr, pipes.stderr_job):
        os.close(fd)
    return _TerminalStdio(terminal, stdin_fd), terminal


def _write_failure(claim: Claim, links: Links, error: SpawnError) -> None:
    """Say in the exit record why nothing runs; as long as it takes, when the disk is full."""
    now_ns = time.time_ns()
    record = ExitRecord(
        reason="spawn_failed", exit_code=error.exit_code, error=str(error), started_ns=now_ns, ended_ns=now_ns
    )
    while not _try_write(record, claim):
        links.loop.set_timer("record", _RECORD_RETRY_S, _nothing)
        links.loop.run_once()
    links.hint(b"failed", claim.spec.job_id)


def _try_write(record: ExitRecord, claim: Claim) -> bool:
    try:
        write_record(record, claim.path("exit"), fsync=claim.spec.fsync)
    except OSError:
        return False
    return True


def _nothing() -> None:
    """A timer that only wakes the loop."""
