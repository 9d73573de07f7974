"""What happened to jobs, in the order it happened: numbered, stored, and handed to subscribers.

A subscriber has a bounded queue. One that falls behind by MAX_BEHIND events is dropped with SLOW_READER and can go on
from its last sequence number, because events are stored: nobody is waited for, nothing is lost.
"""

from collections import deque
from collections.abc import Callable

import anyio

from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.protocol import Event

MAX_BEHIND = 10_000


class Subscription:
    """One reader of events from now on."""

    def __init__(self, hub: "EventHub") -> None:
        self._hub = hub
        self._queue: deque[Event] = deque()
        self._news = anyio.Event()
        self._dropped = False

    def __enter__(self) -> "Subscription":
        self._hub.subscriptions.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._hub.subscriptions.discard(self)

    def put(self, event: Event) -> None:
        """Queue one event, or drop the subscription when it is too far behind."""
        if len(self._queue) >= MAX_BEHIND:
            self._dropped = True
            self._hub.subscriptions.discard(self)
        else:
            self._queue.append(event)
        self._news.set()

    async def next(self) -> Event:
        """Wait for the next event.

        Raises:
            BgjobError: SLOW_READER after the events that were still queued.
        """
        while not self._queue:
            if self._dropped:
                raise BgjobError(
                    ErrorCode.SLOW_READER,
                    f"cannot keep more than {MAX_BEHIND} events for a client that does not read",
                    "Ask again with --since and the last sequence number you saw.",
                )
            self._news = anyio.Event()
            await self._news.wait()
        return self._queue.popleft()


class EventHub:
    """Gives events their numbers and passes them on. `store` keeps them; it must not block."""

    def __init__(self, last_seq: int, store: Callable[[Event], None]) -> None:
        self._last_seq = last_seq
        self._store = store
        self.subscriptions: set[Subscription] = set()

    @property
    def last_seq(self) -> int:
        """The number of the newest event."""
        return self._last_seq

    def publish(self, make: Callable[[int], Event]) -> None:
        """Number, store and pass on one event; `make` gets its sequence number."""
        self._last_seq += 1
        event = make(self._last_seq)
        self._store(event)
        for subscription in list(self.subscriptions):
            subscription.put(event)
