"""The stop ladder: a polite signal, a time of grace, then SIGKILL for everyone until nobody is left.

Theory of operation. `start` sends the first signal, and SIGCONT, to everybody. In grace nobody polls: nothing happens
until either the tree is gone (`child_ended` notices) or the timer fires. Then passes begin: each kills whoever it
finds at the moment of finding, because list-then-kill loses against a program that forks faster. A pass that found
somebody new is followed by the next at once, without a look at anything else: every pause is the forking program's
gain. One that did not waits a moment for the deaths. Only `Tree.is_gone` ends it. After `_INCOMPLETE_S` the caller is
told the truth, and bouts of passes go on, with pauses in between.
"""

import os
import time

from bgjobd.runner.leaf import Leaf
from bgjobd.runner.loop import Loop
from bgjobd.runner.signals import SIGKILL
from bgjobd.runner.tree import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_DEATH_S = 0.002  # how long to wait for the killed to die before looking for more
_BOUT_S = 0.5  # the longest time that nothing else is looked at; between two of them a fork bomb recovers
# With real-time priority killing one by one is quicker: a move into the leaf takes milliseconds, hundreds are needed
_BOUTS_BEFORE_LEAF = 4
_INCOMPLETE_S = 10.0
_PAUSE_S = 1.0  # between bouts from then on
_MOST_GATHERINGS = 10  # what is forked in between is gathered by the next one
_PASSES_BEFORE_PRIORITY = 3  # an ordinary tree is gone by then: what is left forks


class Ladder:
    """One kill of one tree.

    Args:
        loop: where to wait.
        tree: whom to end.
        on_end: called with True when nobody is left, and with False once when it takes too long.
        leaf: where to put a tree that forks too fast; None: there are no cgroups to be had.
    """

    def __init__(self, loop: Loop, tree: Tree, on_end: "Callable[[bool], None]", leaf: "Leaf | None" = None) -> None:
        self._leaf = leaf
        self.started = time.monotonic()
        self._loop = loop
        self._tree = tree
        self._on_end = on_end
        self._forced_at: float | None = None
        self._reported = False
        self._bouts = 0
        self._finished = False
        self._old_scheduler: tuple[int, os.sched_param] | None = None

    def start(self, number: int, grace_s: float) -> None:
        """Send the first signal. SIGKILL, or no grace, goes straight to the last rung."""
        if number == SIGKILL:
            self._force()
            return
        self._tree.stop_all(number)
        self._loop.set_timer("grace", grace_s, self._force)
        self.child_ended()

    def hurry(self, grace_s: float) -> None:
        """Shorten the grace: somebody asked again, with less patience. Never lengthens it."""
        if self._forced_at is None:
            remaining = self._loop.remaining("grace")
            if remaining is None or grace_s < remaining:
                self._loop.set_timer("grace", grace_s, self._force)

    def child_ended(self) -> None:
        """Look whether that was the last one. The caller has reaped."""
        if self._tree.is_gone and not self._finished:
            self._finish()

    def _force(self) -> None:
        """Begin with SIGKILL."""
        self._loop.stop_timer("grace")
        if self._forced_at is None:
            self._forced_at = time.monotonic()
            self._bout()

    def _bout(self) -> None:
        """Make passes until nobody is left, or nobody new was found, or others need their turn."""
        end = time.monotonic() + _BOUT_S
        passes, found_new = 0, True
        self._bouts += 1
        while found_new and not self._tree.is_gone and time.monotonic() < end:
            passes += 1
            forks_fast = passes > _PASSES_BEFORE_PRIORITY
            if forks_fast and (not self._raise_priority() or self._bouts > _BOUTS_BEFORE_LEAF):
                self._kill_in_leaf()
            found_new = self._tree.kill_found()
            self._tree.reap()
        self._lower_priority()
        if self._tree.is_gone:
            self._finish()
        else:
            self._loop.set_timer("kill", self._pause_s(found_new), self._bout)

    def _kill_in_leaf(self) -> None:
        """Put everybody into the leaf, and then kill all of it.

        Not one by one: a program that keeps up its number forks a successor outside for each that is killed inside.
        """
        if self._leaf is None:
            return
        for _ in range(_MOST_GATHERINGS):
            if not self._leaf.gather(self._tree.pids()):
                break
        self._leaf.kill()

    def _pause_s(self, found_new: bool) -> float:
        if time.monotonic() - (self._forced_at or 0.0) > _INCOMPLETE_S:
            self._report_incomplete()
            return _PAUSE_S
        return 0.0 if found_new else _DEATH_S

    def _report_incomplete(self) -> None:
        if not self._reported:
            self._reported = True
            self._on_end(False)

    def _finish(self) -> None:
        self._finished = True
        self._loop.stop_timer("grace")
        self._loop.stop_timer("kill")
        self._on_end(True)

    def _raise_priority(self) -> bool:
        """Get the processor before a fork bomb does. Root only; measured: 12 of 12 bombs of 150 instead of 10."""
        if self._old_scheduler is None and hasattr(os, "sched_setscheduler"):
            before = os.sched_getscheduler(0), os.sched_getparam(0)
            try:
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
            except OSError:
                return False
            self._old_scheduler = before
        return self._old_scheduler is not None

    def _lower_priority(self) -> None:
        if self._old_scheduler is not None:
            os.sched_setscheduler(0, *self._old_scheduler)
            self._old_scheduler = None
