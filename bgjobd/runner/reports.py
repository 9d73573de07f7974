"""The zygote's end of the pipe over which a rescue runner hears how orphans ended. No end of a main process is lost."""

import os

from bgjobd.runner.foreign_tree import End
from bgjobd.runner.loop import WRITABLE, Loop
from bgjobd.runner.orphans import Orphans


class Reports:
    """What one rescue runner is told; never waits for it.

    Args:
        fd: non-blocking, closed here.
        loop: where to wait for room.
        orphans: what is told again to one that was too far behind for it.
    """

    def __init__(self, fd: int, loop: Loop, orphans: Orphans) -> None:
        self.fd = fd
        self._loop = loop
        self._orphans = orphans
        self._is_behind = False

    def tell(self, end: End) -> None:
        """Report an end, now or, if it is one that is remembered, when there is room."""
        if not self._is_behind:
            self._write([end])

    def close(self) -> None:
        """Let go of it."""
        self._loop.forget(self.fd)
        os.close(self.fd)

    def _catch_up(self, _events: int) -> None:
        self._write(self._orphans.ends())

    def _write(self, ends: list[End]) -> None:
        try:
            for end in ends:
                os.write(self.fd, end.line())
        except BlockingIOError:
            self._is_behind = True
            self._loop.watch(self.fd, WRITABLE, self._catch_up)
            return
        except OSError:
            pass  # EPIPE: it is dead too; its heir gets what is remembered
        if self._is_behind:
            self._is_behind = False
            self._loop.forget(self.fd)
