"""Waits for descriptors and deadlines, and calls who asked. Without a deadline it sleeps until something happens."""

import os
import select
import time

from bgjobd.runner.signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

READABLE = select.POLLIN
WRITABLE = select.POLLOUT
HANGUP = select.POLLHUP

_LONGEST_WAIT_S = 1_000_000.0  # poll(2) takes milliseconds in an int


class Loop:
    """One poll(2) loop. Single threaded; a callback may watch, forget and stop as it likes."""

    __slots__ = ("_callbacks", "_poll", "_running", "_timers")

    def __init__(self) -> None:
        self._poll = select.poll()
        self._callbacks: dict[int, Callable[[int], None]] = {}
        self._timers: dict[str, tuple[float, Callable[[], None]]] = {}
        self._running = False

    def watch(self, fd: int, events: int, callback: "Callable[[int], None]") -> None:
        """Call `callback(events)` whenever one of `events`, an error or a hang-up is there; replaces an earlier one."""
        self._poll.register(fd, events)
        self._callbacks[fd] = callback

    def forget(self, fd: int) -> None:
        """Stop watching. Forgetting what is not watched does nothing."""
        if self._callbacks.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def set_timer(self, name: str, delay_s: float, callback: "Callable[[], None]") -> None:
        """Call `callback` once after `delay_s` seconds; replaces the timer of that name."""
        self._timers[name] = (time.monotonic() + delay_s, callback)

    def stop_timer(self, name: str) -> None:
        """Forget the timer of that name, if there is one."""
        self._timers.pop(name, None)

    def remaining(self, name: str) -> float | None:
        """Return the seconds until the timer of that name, None if there is none."""
        timer = self._timers.get(name)
        return None if timer is None else timer[0] - time.monotonic()

    def stop(self) -> None:
        """Leave `run` after the current round."""
        self._running = False

    def run(self) -> None:
        """Wait and call until `stop`."""
        self._running = True
        while self._running:
            self.run_once()

    def run_once(self) -> None:
        """Wait for something and call whoever asked for it."""
        for fd, events in self._poll.poll(self._wait_ms()):
            callback = self._callbacks.get(fd)
            if callback is not None:  # else: forgotten by an earlier callback of this round
                callback(events)
        if self._timers:
            self._call_due()

    def _wait_ms(self) -> int | None:
        """Return how long to sleep; rounded up, so that a deadline is never woken for too early."""
        if not self._timers:
            return None
        delay_s = min(deadline for deadline, _ in self._timers.values()) - time.monotonic()
        return int(max(0.0, min(delay_s, _LONGEST_WAIT_S)) * 1000 + 0.999)

    def _call_due(self) -> None:
        now = time.monotonic()
        for name, (deadline, callback) in list(self._timers.items()):
            if deadline <= now and self._timers.get(name) == (deadline, callback):
                del self._timers[name]
                callback()


def poll_now(fd: int) -> int:
    """Return what poll(2) says about reading from `fd` right now: READABLE, a hang-up, or 0."""
    poll = select.poll()
    poll.register(fd, READABLE)
    for _fd, events in poll.poll(0):
        return events
    return 0


class ChildSignals:
    """Turns SIGCHLD into something to poll for; every other signal that could end this process is ignored.

    SIGCHLD has a handler and is not ignored: that would let the kernel throw wait statuses away.
    """

    __slots__ = ("_write_end", "fd")

    def __init__(self) -> None:
        self.fd, self._write_end = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._write_end, False)
        signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)

    def drain(self) -> None:
        """Forget the wake-ups so far. Call it before reaping, so that none is missed."""
        try:
            while len(os.read(self.fd, 512)) == 512:
                continue
        except BlockingIOError:
            return

    def close(self) -> None:
        """Stop listening; used by a fork for its parent's."""
        signal.set_wakeup_fd(-1)
        os.close(self.fd)
        os.close(self._write_end)


def settle_signals() -> None:
    """Ignore every signal that would end or stop this process and can be ignored; have a handler for SIGCHLD."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, _nothing)


_IGNORED = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGALRM, signal.SIGTERM, signal.SIGUSR1,
    signal.SIGUSR2, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGXCPU, signal.SIGXFSZ, signal.SIGVTALRM,
    signal.SIGPROF, signal.SIGIO,
)  # fmt: skip


def _nothing(_number: int, _frame: object) -> None:
    """Only there so that the wake-up descriptor is written to."""
