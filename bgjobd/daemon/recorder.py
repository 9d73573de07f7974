"""Writes ended jobs and events to the history, in batches, off the event loop. The only caller of its writing side.

While the disk refuses, everything is kept in memory and tried again with a growing pause: nothing is lost, and the
daemon's warnings say so. The job directories are the truth meanwhile.
"""

import logging
from collections.abc import Callable

import anyio
import anyio.to_thread

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
        self._idle = anyio.Event()
        self._is_writing = False
        self._hurried = anyio.Event()  # somebody waits for it: write at once
        self.stored = anyio.Event()  # fires at each commit of jobs
        self.trouble = ""  # why the history cannot be written at the moment

    def put(self, spec: Spec, info: JobInfo, ended_ns: int, committed: Callable[[], None] | None) -> None:
        """Queue what is known about a job; `committed` is called on the event loop once it is stored."""
        self._rows[info.job_id] = JobRow(info, spec.submitted_ns, ended_ns, spec.idempotency_key, spec.request_digest)
        if committed is not None:
            self._committed.append(committed)
        self._news.set()

    def put_event(self, event: Event) -> None:
        """Queue an event."""
        self._events.append(event)
        self._news.set()

    async def run(self) -> None:
        """Write for ever; cancelled at shutdown, after `drain`."""
        pause_s = _FIRST_PAUSE_S
        while True:
            if not (self._rows or self._events):
                self._is_writing = False
                self._hurried = anyio.Event()
                self._idle.set()
                self._news = anyio.Event()
                await self._news.wait()
                self._idle = anyio.Event()
            with anyio.move_on_after(_GATHER_S):
                await self._hurried.wait()
            rows, events, committed = self._rows, self._events, self._committed
            self._rows, self._events, self._committed = {}, [], []
            self._is_writing = True
            try:
                await anyio.to_thread.run_sync(self._history.write, list(rows.values()), events)
            except HistoryError as error:
                if not self.trouble:
                    logger.error("cannot write the history: %s", error)
                self.trouble = str(error)
                self._rows = rows | self._rows
                self._events = events + self._events
                self._committed = committed + self._committed
                with anyio.move_on_after(pause_s):  # nothing announces that the disk has room again
                    await anyio.sleep_forever()
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
                continue
            pause_s = _FIRST_PAUSE_S
            self.trouble = ""
            for callback in committed:
                callback()
            if rows:
                self.stored.set()
                self.stored = anyio.Event()

    async def drain(self) -> None:
        """Wait until everything queued so far is stored."""
        if self._rows or self._events or self._is_writing:
            self._hurried.set()
            await self._idle.wait()
