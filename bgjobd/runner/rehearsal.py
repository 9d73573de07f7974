"""Plays a job that does nothing, through the path of a real one, so that the real one finds its memory ready.

A fork shares all memory with the zygote until it writes to it, and Python writes nearly everywhere. The page faults of
a first time cost more than a millisecond (supervision.md §1.2). `play` moves those of a start to before the job is
there.
"""

import os
import resource
import time

from bgjobd.runner import spawn, system
from bgjobd.runner.claim import Claim, claim_again
from bgjobd.runner.pipes import Pipes
from bgjobd.runner.records import Spec, write_record
from bgjobd.runner.spawn import Stdio
from bgjobd.runner.spool import remove_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_PATH = b"PATH=/bin:/usr/bin:/run/current-system/sw/bin"  # the last one: NixOS
_VARIABLES = 40  # in the environment of the play: about as many as people have


def prepare(directory: str, *, argv: "Sequence[bytes]" = (b"bgjob-rehearsal",), pty: bool = False) -> None:
    """Write the play: a job in `directory`, which is emptied first. Another one than the default can be run for real.

    Raises:
        OSError: the disk refused.
    """
    remove_tree(directory)
    os.mkdir(directory, 0o700)
    spec = Spec(job_id="rehearsal", argv=list(argv), control=f"{directory}/socket", oom_score_adj=0, pty=pty)
    spec.env = [_PATH, *(b"NAME%d=value" % number for number in range(_VARIABLES))]
    # The other fields that nearly every job has; no group is made in that directory as long as nobody kills the job.
    spec.command, spec.is_argv, spec.cwd, spec.cgroup = b"bgjob-rehearsal", True, os.fsencode(directory), directory
    spec.nofile_soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    spec.free_space_floor_bytes, spec.submitted_ns = 1, time.time_ns()
    spec.client_kind, spec.client_version = "cli", "0"
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


def _pretend_to_spawn(claim: Claim, pipes: Pipes) -> None:
    """Do all but the system call: a process would have to be reaped, and a failure costs each fork its exceptions."""
    stdio = Stdio(*pipes.job_ends())
    oom_score = system.OomScore()
    spawn.spawn(claim.spec, stdio.actions(), oom_score, _start_nothing)
    oom_score.close()
    stdio.close()


def _start_nothing(*_arguments: object) -> int:
    return 0


def _nothing(_word: bytes, _rest: bytes) -> None:
    """What a claim says to a zygote that is not interested."""
