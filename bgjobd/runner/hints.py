"""Hints to the daemon: that there is something new in the records of a job. None is lost while the daemon lives.

Nobody looks at records without one. So what the channel has no room for, because the daemon is stopped or far behind,
is handed to the zygote: it waits for room, and neither a job nor the end of its runner has to.
"""

from bgjobd.runner.channel import Channel
from bgjobd.runner.hub import Hub
from bgjobd.runner.loop import WRITABLE, Loop


def give_hint(channel: Channel, hub: Hub, word: bytes, rest: bytes) -> None:
    """For spares and runners: send a hint now, or else have the zygote send it."""
    if not channel.send(word, rest):
        hub.tell(b"hint", word + b" " + rest)


class Hints:
    """For the zygote: those that are to be sent, in the order in which they came.

    Args:
        channel: to the daemon.
        loop: where to wait for room.
    """

    def __init__(self, channel: Channel, loop: Loop) -> None:
        self._channel = channel
        self._loop = loop
        self._unsent: list[tuple[bytes, bytes]] = []

    def give(self, word: bytes, rest: bytes) -> None:
        """Send a hint as soon as there is room; the same one twice is one."""
        if (word, rest) not in self._unsent:
            self._unsent.append((word, rest))
            self._send()

    def _send(self, _events: int = 0) -> None:
        while self._unsent and self._channel.send(*self._unsent[0]):
            del self._unsent[0]
        if self._unsent:
            self._loop.watch(self._channel.fileno(), WRITABLE, self._send)
        else:
            self._loop.forget(self._channel.fileno())
