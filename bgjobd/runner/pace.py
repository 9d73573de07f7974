"""How often to empty a pipe: small writes in quick succession are collected by a short nap.

Waking for every 60-byte line costs more than the line; waking too late blocks the writer. A nap is only worth it while
the writer is fast and its writes are small, and only with one active stream: napping over two destroys their order.

Theory of operation. Awake, a streak of moves that are small and follow each other closely starts the naps. A nap is as
long as the writer, at its measured rate, takes to fill a third of the pipe; it lasts longer than was asked, and brings
about half. It ends when the pipe comes back nearly full, because then the writer is faster than was thought and must
not be made to wait, or nearly empty, because then it has become slow. Each round costs runner and writer about 50 µs
of processor time whatever it brings, so few large ones are best. Source: supervision.md §3.3; measured with 60-byte
writes: 1.8 times the speed of writing to a file, at 0.7 of the processor time (docs/design/0008).
"""

import time

from bgjobd.runner import system

_CLOSE_NS = 200_000  # moves that follow each other faster than this are a streak
_SMALL_BYTES = 4 << 10  # bulk writers fill more than this between two looks; they are not made to wait
_STREAK = 8
_LONGEST_NAP_S = 0.0005
_SHARE_OF_PIPE = 0.35
_FULL_BYTES = system.PIPE_BYTES * 7 // 8  # the pipe filled up before the nap was over
_SLOW_BYTES = 512  # what a nap must bring to have been worth it
_ACTIVE_NS = 50_000_000  # a stream that brought something this recently is active


class Pace:
    """What was learned about one source."""

    __slots__ = ("_is_napping", "_last_ns", "_rate", "_streak", "_streak_bytes", "_streak_ns")

    def __init__(self) -> None:
        self._last_ns = 0
        self._streak = 0
        self._streak_bytes = 0
        self._streak_ns = 0
        self._is_napping = False
        self._rate = 0.0  # bytes per second

    def nap(self) -> None:
        """Nap if that is worth it. Call it when there is something to move and no other source is active."""
        if self._is_napping:
            nap_s = min(_LONGEST_NAP_S, _SHARE_OF_PIPE * system.PIPE_BYTES / self._rate)
            time.sleep(nap_s)  # noqa: TID251 - not waiting for anything: letting bytes come together

    def moved(self, count: int) -> None:
        """Learn from one move."""
        now_ns = time.monotonic_ns()
        elapsed_ns = now_ns - self._last_ns
        self._last_ns = now_ns
        if self._is_napping:
            self._is_napping = _SLOW_BYTES <= count < _FULL_BYTES
            self._rate += (count * 1e9 / elapsed_ns - self._rate) / 4
        elif count >= _SMALL_BYTES or elapsed_ns > _CLOSE_NS:
            self._streak = self._streak_bytes = self._streak_ns = 0
        else:
            self._lengthen_streak(count, elapsed_ns)

    def is_active(self) -> bool:
        """Whether this source brought something a moment ago."""
        return time.monotonic_ns() - self._last_ns < _ACTIVE_NS

    def _lengthen_streak(self, count: int, elapsed_ns: int) -> None:
        self._streak += 1
        self._streak_bytes += count
        self._streak_ns += elapsed_ns
        if self._streak > _STREAK:
            self._is_napping = True
            self._rate = self._streak_bytes * 1e9 / self._streak_ns
            self._streak = self._streak_bytes = self._streak_ns = 0
