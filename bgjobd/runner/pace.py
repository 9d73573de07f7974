"""How often to empty a pipe. Small writes in quick succession are collected by a short nap; big ones get a bigger pipe.

Waking for every 60-byte line costs more than the line; waking too late blocks the writer. A nap is only worth it while
the writer is fast and its writes are small, and only with one stream: napping over two destroys their order.
"""

TINY_BYTES = 4 << 10


class Pace:
    """What was learned about one source."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def wait(self, sources: int) -> None:
        """Nap if that is worth it."""

    def moved(self, count: int) -> None:
        """Learn from one move."""
