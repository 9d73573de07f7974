"""The recorder: what was drained is stored."""

import contextlib
import threading
from collections.abc import Sequence

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from bgjobd.daemon.recorder import Recorder
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.protocol import Event, EventType
from bgjobd.store.history import History, HistoryError, JobRow


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


class CountingHistory(History):
    """A history that knows how many events each of its commits had."""

    sizes: list[int]

    def write(self, jobs: Sequence[JobRow], events: Sequence[Event]) -> None:
        self.sizes.append(len(events))
        super().write(jobs, events)


async def put_and_drain_twice(history: CountingHistory) -> list[int]:
    recorder = Recorder(history)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(recorder.run)
        for first in (1, 4):
            for seq in range(first, first + 3):
                recorder.put_event(Event(seq=seq, time="t", type=EventType.QUEUED, job_id="j"))
                await anyio.wait_all_tasks_blocked()
            await recorder.drain()
        tasks.cancel_scope.cancel()
    return history.sizes


def test_what_comes_soon_after_each_other_is_written_together_and_a_drain_does_not_wait_for_more(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bgjobd.daemon.recorder._GATHER_S", 1e6)  # no drain would end, if it waited for it
    with contextlib.closing(CountingHistory(str(tmp_path / "history.db"))) as history:
        history.sizes = []
        assert anyio.run(put_and_drain_twice, history) == [3, 3]


async def put_and_drain_at_once(history: History) -> list[int]:
    recorder = Recorder(history)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(recorder.run)
        for seq in (1, 2):
            recorder.put_event(Event(seq=seq, time="t", type=EventType.QUEUED, job_id="j"))
            assert await recorder.drain()
        tasks.cancel_scope.cancel()
    return [event.seq for event in history.events(0, 10)]


def test_a_drain_waits_for_what_was_queued_in_the_same_moment(tmp_path) -> None:
    with contextlib.closing(History.open(str(tmp_path / "history.db"))) as history:
        assert anyio.run(put_and_drain_at_once, history) == [1, 2]


class RefusingHistory(History):
    """A history on a disk that refuses while it is told to."""

    refuses = True

    def write(self, jobs: Sequence[JobRow], events: Sequence[Event]) -> None:
        if self.refuses:
            raise HistoryError("disk full")
        super().write(jobs, events)


async def drain_while_refused(history: RefusingHistory) -> list[int]:
    recorder = Recorder(history)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(recorder.run)
        recorder.put_event(Event(seq=1, time="t", type=EventType.QUEUED, job_id="j"))
        for _ in range(20):  # by then the pause between two attempts is as long as it gets
            assert not await recorder.drain()
        assert not recorder.is_idle
        with pytest.raises(BgjobError, match=r"cannot read events: .*disk full") as caught:
            await recorder.drain_or_refuse("read events")
        assert caught.value.code is ErrorCode.STORAGE
        history.refuses = False
        assert await recorder.drain()
        assert recorder.is_idle
        tasks.cancel_scope.cancel()
    return [event.seq for event in history.events(0, 10)]


def test_a_drain_answers_when_the_disk_refuses_and_is_tried_at_once_when_asked_again(tmp_path) -> None:
    with contextlib.closing(RefusingHistory(str(tmp_path / "history.db"))) as history:
        assert anyio.run(drain_while_refused, history) == [1]


def test_a_history_that_lacks_events_is_not_closed_in_order(tmp_path) -> None:
    """Else the next daemon would give their numbers to others."""
    path = str(tmp_path / "history.db")
    with contextlib.closing(History.open(path)) as history:
        history.write([], [Event(seq=1, time="t", type=EventType.QUEUED, job_id="j")])
        history.is_complete = False  # numbers 2 and 3 were told, and could not be written
    with contextlib.closing(History.open(path)) as history:
        assert history.last_event_seq() > 3
