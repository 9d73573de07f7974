"""The recorder: what was drained is stored."""

import contextlib
import threading
from collections.abc import Sequence

import anyio
import anyio.lowlevel
import anyio.to_thread

from bgjobd.daemon.recorder import Recorder
from bgjobd.protocol import Event, EventType
from bgjobd.store.history import History, JobRow


class HeldHistory(History):
    """A history whose writing begins when it is asked for, and goes on when it is let."""

    begun: threading.Event
    may_go_on: threading.Event

    def write(self, jobs: Sequence[JobRow], events: Sequence[Event]) -> None:
        self.begun.set()
        self.may_go_on.wait()
        super().write(jobs, events)


async def drain_while_writing(history: HeldHistory) -> list[int]:
    recorder = Recorder(history)
    stored: list[int] = []

    async def drain() -> None:
        await recorder.drain()
        stored.extend(event.seq for event in history.events(0, 10))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(recorder.run)
        recorder.put_event(Event(seq=1, time="t", type=EventType.QUEUED, job_id="j"))
        await anyio.to_thread.run_sync(history.begun.wait)  # nothing waits in the queue now, and nothing is stored
        async with anyio.create_task_group() as draining:
            draining.start_soon(drain)
            await anyio.lowlevel.checkpoint()
            history.may_go_on.set()
        tasks.cancel_scope.cancel()
    return stored


def test_a_drain_waits_for_what_is_being_written(tmp_path) -> None:
    """Else `events` did not show the end that a wait had just told."""
    with contextlib.closing(HeldHistory(str(tmp_path / "history.db"))) as history:
        history.begun, history.may_go_on = threading.Event(), threading.Event()
        assert anyio.run(drain_while_writing, history) == [1]
