"""A FIFO on which a program tells when it ran: `probe stamp PATH`."""

import os
import time
from types import TracebackType

from tests.helpers.waiting import wait_readable


class Stamps:
    """Receives stamps. A context manager."""

    def __init__(self, directory: str) -> None:
        self.path = os.path.join(directory, "stamps")
        os.mkfifo(self.path)
        # For writing as well: it then never comes to an end when a writer leaves.
        self._fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)

    def __enter__(self) -> "Stamps":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)
        os.unlink(self.path)

    @staticmethod
    def now() -> float:
        """Return the time by the clock of the stamps, in seconds."""
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC) / 1e9

    def next(self) -> float:
        """Wait for the next stamp and return it, in seconds."""
        wait_readable(self._fd, "a stamp")
        return int(os.read(self._fd, 32)) / 1e9
