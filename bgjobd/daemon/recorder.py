"""Writes ended jobs and events to the history, in batches, off the event loop. The only caller of its writing side.

While the disk refuses, everything is kept in memory and tried again with a growing pause: nothing is lost, and the
daemon's warnings say so. The job directories are the truth meanwhile. Only a daemon that is stopped then loses events.
"""

import logging
from collections.abc import Callable

import anyio
import anyio.to_thread

from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.protocol import Event, JobInfo
from bgjobd.runner.records import Spec
from bgjobd.store.history import History, HistoryError, JobRow

logger = logging.getLogger("bgjobd.recorder")

# What comes within this time is written together. By then a job has started: writing would take a processor from it.
_GATHER_S = 0.01
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0


class Recorder:
    """A queue in front of the history."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._rows: dict[str, JobRow] = {}  # a newer row of the same job replaces the older one
        self._events: list[Event] = []
        self._committed: list[Callable[[], None]] = []
        self._news = anyio.Event()
        self._tried = anyio.Event()  # fires after each attempt to write
        self._queued = self._stored = 0  # how many rows and events ever were
        self._hurried = anyio.Event()  # somebody waits for it: write at once
        self.stored = anyio.Event()  # fires at each commit of jobs
        self.trouble = ""  # why the history cannot be written at the moment

    def put(self, spec: Spec, info: JobInfo, ended_ns: int, committed: Callable[[], None] | None) -> None:
        """Queue what is known about a job; `committed` is called on the event loop once it is stored."""
        self._rows[info.job_id] = JobRow(info, spec.submitted_ns, ended_ns, spec.idempotency_key, spec.request_digest)
        if committed is not None:
            self._committed.append(committed)
        self._queued += 1
        self._news.set()

    def put_event(self, event: Event) -> None:
        """Queue an event."""
        self._events.append(event)
        self._queued += 1
        self._news.set()

    @property
    def is_idle(self) -> bool:
        """Whether everything queued so far is stored."""
        return self._stored == self._queued

    async def run(self) -> None:
        """Write for ever; cancelled at shutdown, after `drain`."""
        pause_s = _FIRST_PAUSE_S
        while True:
            if not (self._rows or self._events):
                self._hurried = anyio.Event()
                self._news = anyio.Event()
                await self._news.wait()
            with anyio.move_on_after(_GATHER_S):
                await self._hurried.wait()
            rows, events, committed = self._rows, self._events, self._committed
            self._rows, self._events, self._committed = {}, [], []
            queued, self._hurried = self._queued, anyio.Event()
            try:
                await anyio.to_thread.run_sync(self._history.write, list(rows.values()), events)
            except HistoryError as error:
                if not self.trouble:
                    logger.error("cannot write the history: %s", error)
                self.trouble = str(error)
                self._rows = rows | self._rows
                self._events = events + self._events
                self._committed = committed + self._committed
                self._tell_tried()
                with anyio.move_on_after(pause_s):  # nothing announces that the disk has room again
                    await self._hurried.wait()
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
                continue
            pause_s = _FIRST_PAUSE_S
            self.trouble = ""
            self._stored = queued
            for callback in committed:
                callback()
            self._tell_tried()
            if rows:
                self.stored.set()
                self.stored = anyio.Event()

    def _tell_tried(self) -> None:
        self._tried.set()
        self._tried = anyio.Event()

    async def drain(self) -> bool:
        """Wait until everything queued so far is stored, or the disk has refused it; return whether it is stored."""
        queued = self._queued
        while self._stored < queued:
            tried = self._tried
            self._hurried.set()
            await tried.wait()
            if self.trouble:
                return self._stored >= queued
        return True

    async def drain_or_refuse(self, what: str) -> None:
        """Wait until everything queued so far is stored.

        Raises:
            BgjobError: STORAGE: cannot do `what`, as the disk refuses.
        """
        if not await self.drain():
            raise BgjobError(
                ErrorCode.STORAGE,
                f"cannot {what}: the history cannot be written at the moment ({self.trouble})",
                "Free some space (`bgjob prune`) and ask again; nothing is lost.",
            )
