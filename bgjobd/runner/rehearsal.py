"""Plays a job that does nothing, through the whole path of a real one, so that the real one finds its memory ready.

A fork shares all memory with the zygote until it writes to it, and Python writes nearly everywhere. The 200 to 500 page
faults of a first time cost more than a millisecond (supervision.md §1.2); this moves them to before the job is there.
"""

import _socket
import os

from bgjobd.runner import spawn
from bgjobd.runner.channel import Channel
from bgjobd.runner.claim import Claim, claim_new
from bgjobd.runner.hub import Hub
from bgjobd.runner.logfile import LogWriter
from bgjobd.runner.pipes import Pipes
from bgjobd.runner.records import Spec, write_record
from bgjobd.runner.spawn import SpawnError, Stdio
from bgjobd.runner.spool import remove_tree
from bgjobd.runner.start import Links, identity, supervise
from bgjobd.runner.tree import Tree

_NO_PROGRAM = b"/nonexistent/bgjob-rehearsal"


def rehearse(directory: str, log: LogWriter) -> None:
    """Play a job in `directory`, which is removed again; `log` is closed, and must not be a real job's.

    Raises:
        OSError: the disk refused; nothing but time is lost.
    """
    os.mkdir(directory, 0o700)
    hub = Hub()
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    channel = Channel(theirs.detach())
    try:
        environment = [b"NAME%d=value" % number for number in range(40)]
        spec = Spec(job_id="rehearsal", argv=[_NO_PROGRAM], env=environment, control=f"{directory}/socket")
        write_record(spec, f"{directory}/spec")
        claim = claim_new(directory, f"{directory}/zygote-0.lock", lambda: hub.tell(b"took", b"nothing"))
        if claim is not None:
            _play(claim, Links(channel, hub), log)
    finally:
        channel.close()
        ours.close()
        hub.close()
        remove_tree(directory)


def _play(claim: Claim, links: Links, log: LogWriter) -> None:
    """Do what `run_job` does, with a program that is not there and a tree that has ended at once."""
    pipes = Pipes(0)
    run = identity()
    log.place(claim.path("log"), 0)
    stdio = Stdio(*pipes.job_ends())
    try:
        spawn.spawn(claim.spec, stdio.actions(), new_session=False)  # its zygote must not take it for a job's
    except SpawnError:
        pass  # that is the play
    os.write(pipes.stdout_job, b"a line\n")
    stdio.close()
    tree = Tree(0, claim.note_end)
    tree.main_has_ended, tree.main_status, tree.is_gone = True, 0, True
    supervise(claim, links, run, tree, log, pipes.kept())
    links.signals.close()
    claim.release()
