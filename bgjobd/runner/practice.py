"""Lets the zygote live a spare's life a few times, so that its forks find all code in its final form, see `lean`.

It is `Spare` itself that lives it, with real jobs: only that nobody asked for them, and that it does not leave the
zygote's session and descriptors.
"""

import _socket
import os

from bgjobd.runner import rehearsal, system
from bgjobd.runner.channel import Channel
from bgjobd.runner.hub import Hub
from bgjobd.runner.lean import plug_holes
from bgjobd.runner.loop import ChildSignals
from bgjobd.runner.pack import observe, pack
from bgjobd.runner.pipes import Pipes
from bgjobd.runner.spare import ENDED, Spare, live
from bgjobd.runner.spool import Spool, remove_tree

# CPython specialises code that ran 8 times. Nearly all that a job with pipes runs, one with a terminal does, too.
_LIVES_WITH_TERMINAL = 8
_LIVES_WITH_PIPES = 2
_NOTHING_TO_CLOSE = 2  # no descriptor above this one is somebody else's
_ARGV = (b"echo", b"practice")


def practise(spool: Spool, zygote: str) -> None:
    """Live some lives with terminals and some with pipes; the play must be prepared. Leaves nothing.

    Args:
        spool: where to do it.
        zygote: path of the zygote's lock.

    Raises:
        OSError: the disk refused, or there are no descriptors.
    """
    if not system.LINUX:  # where a look at a job's processes is a call of ps(1), a life takes a second
        for _ in range(_LIVES_WITH_TERMINAL):
            rehearsal.play(spool.rehearsal_dir)
        return
    try:
        ran = observe(lambda: _live_often(1, 1, spool, zygote))
        plug_holes()
        pack(ran)
        _live_often(_LIVES_WITH_TERMINAL, _LIVES_WITH_PIPES, spool, zygote)
    finally:
        clean_up(spool)


def clean_up(spool: Spool) -> None:
    """Remove what a practice leaves, or left that was broken off."""
    remove_tree(spool.practice_dir)
    spool.forget(os.getpid())


def _live_often(with_terminal: int, with_pipes: int, spool: Spool, zygote: str) -> None:
    for number in range(with_terminal + with_pipes):
        rehearsal.prepare(spool.practice_dir, argv=_ARGV, pty=number >= with_pipes)
        if _live(spool, zygote) != ENDED:
            return  # it has said why


def _live(spool: Spool, zygote: str) -> int:
    hub = Hub()
    daemon, runner = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    channel = Channel(runner.detach(), spool.turns)
    spare = Spare(channel, hub, zygote, spool, Pipes(0), os.getppid())

    def send_work() -> None:
        Channel(daemon.detach()).send(b"spawn", os.fsencode(spool.practice_dir))

    try:
        return live(lambda highest_fd: spare.live(highest_fd, send_work), ChildSignals(), _NOTHING_TO_CLOSE)
    finally:
        channel.close()
        hub.close()
