"""Plays a job that does nothing, through the path of a real one, so that the real one finds its memory ready.

A fork shares all memory with the zygote until it writes to it, and Python writes nearly everywhere. The page faults of
a first time cost more than a millisecond (supervision.md §1.2). `play` moves those of a start to before the job is
there; `play_whole` lets the zygote itself run all that its forks will run, see `lean`.
"""

import _socket
import os

from bgjobd.runner import spawn, system
from bgjobd.runner.channel import Channel
from bgjobd.runner.claim import Claim, claim_again
from bgjobd.runner.hub import Hub
from bgjobd.runner.logfile import LogWriter
from bgjobd.runner.loop import Loop
from bgjobd.runner.pipes import Pipes
from bgjobd.runner.records import Spec, write_record
from bgjobd.runner.spawn import SpawnError, Stdio
from bgjobd.runner.spool import remove_tree
from bgjobd.runner.start import Links, connect, identity, supervise
from bgjobd.runner.stdin import StandardInput
from bgjobd.runner.terminal import Terminal
from bgjobd.runner.tree import Tree

_PROGRAM = b"bgjob-rehearsal"
_VARIABLES = 40  # in the environment of the play: about as many as people have


def prepare(directory: str) -> None:
    """Write the play: a job in `directory`, which is emptied first.

    Raises:
        OSError: the disk refused.
    """
    remove_tree(directory)
    os.mkdir(directory, 0o700)
    environment = [b"NAME%d=value" % number for number in range(_VARIABLES)]
    spec = Spec(job_id="rehearsal", argv=[_PROGRAM], env=environment, control=f"{directory}/socket", oom_score_adj=0)
    write_record(spec, f"{directory}/spec")


def play(directory: str) -> None:
    """Play the start: claim, read, connect, and start nothing. Leaves nothing; several may play at once.

    Raises:
        OSError: the disk refused, or nothing was prepared; nothing but time is lost.
    """
    claim = claim_again(directory, f"{directory}/zygote-0.lock", _nothing)
    if claim is not None:
        pipes = Pipes(0)
        _pretend_to_spawn(claim, pipes)
        for fd in pipes.kept():
            os.close(fd)
        claim.release()


def play_whole(directory: str) -> None:
    """Play a job to its end, records and socket included. What it leaves in `directory` must be emptied before another.

    Raises:
        OSError: the disk refused, or nothing was prepared.
    """
    hub = Hub()
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    channel = Channel(theirs.detach())
    links = Links(channel, hub)
    try:
        claim = claim_again(directory, f"{directory}/zygote-0.lock", lambda word: hub.tell(word, b"nothing"))
        if claim is not None:
            _play_to_the_end(claim, links)
            claim.release()
    finally:
        links.signals.close()
        channel.close()
        ours.close()
        hub.close()


def play_terminal(directory: str) -> None:
    """Play what a job with a terminal does beside all that: make it, show it to the zygote, write a line, end.

    Raises:
        OSError: the disk refused, or there are no descriptors.
    """
    hub, pipes = Hub(), Pipes(0)
    try:
        stdio, terminal = connect(Spec(pty=True), pipes, hub)
    except SpawnError:  # there are no terminals, which a job that wants one will be told
        for fd in pipes.kept() + pipes.job_ends():
            os.close(fd)
    else:
        assert isinstance(terminal, Terminal)
        _play_terminal(terminal, f"{directory}/terminal")
        stdio.close()
    hub.close()


def _play_terminal(terminal: Terminal, log_path: str) -> None:
    terminal.actions()
    source = terminal.source()
    stdin = StandardInput(Loop(), terminal.input_fd(), _no_input, lambda in_line: b"")
    terminal.write_line()
    log = os.open(log_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    while system.LINUX and source.splice(log, source.waiting()):  # other systems have no splice
        terminal.let_go()
    os.close(log)
    stdin.close()
    source.close()
    terminal.close()


def _play_to_the_end(claim: Claim, links: Links) -> None:
    """Do what `run_job` does, with a program that is not started and a tree that has ended at once."""
    pipes, log, run = Pipes(0), LogWriter(), identity()
    log.place(claim.path("log"), 0)
    os.write(pipes.stdout_job, b"a line\n")
    _pretend_to_spawn(claim, pipes)
    tree = Tree(0, claim.note_end)
    tree.main_has_ended, tree.main_status, tree.is_gone = True, 0, True
    supervise(claim, links, run, tree, log, pipes.kept())


def _pretend_to_spawn(claim: Claim, pipes: Pipes) -> None:
    """Do all but the system call: a process would have to be reaped, and a failure costs each fork its exceptions."""
    stdio = Stdio(*pipes.job_ends())
    oom_score = system.OomScore()
    spawn.spawn(claim.spec, stdio.actions(), oom_score, lambda *_arguments: 0)
    oom_score.close()
    stdio.close()


def _no_input() -> None:
    """What a runner says to a zygote that is not interested when its job's input was closed."""


def _nothing(_word: bytes) -> None:
    """What a claim says to a zygote that is not interested."""
