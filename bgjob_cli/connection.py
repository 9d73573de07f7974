"""The daemon as a verb sees it: connected on first use, started when it is not there, found again when it went away.

Jobs run without the daemon, so its restart in the middle of a `wait` or `tail -f` is no reason to end either: what
can be asked again is asked again, and output goes on at the cursor.
"""

import os
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec

import bgjobd.client as daemon_client
from bgjob_cli.service.activation import is_only_a_socket
from bgjobd.autostart import START_TIMEOUT_S
from bgjobd.conversation import asked_again
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.paths import Paths
from bgjobd.protocol import (
    ClientInfo,
    Event,
    Events,
    EventsReply,
    Follow,
    FollowItem,
    FollowReply,
    Request,
    StreamRequest,
    Wait,
)
from bgjobd.version import VERSION

__all__ = ["ANSWERS_WITHIN_S", "Daemon"]

# A daemon greets within milliseconds; one that swaps is slow, one that hangs never does. For those who want to know.
ANSWERS_WITHIN_S = 5.0

ItemT = TypeVar("ItemT", bound=msgspec.Struct)
ReplyT = TypeVar("ReplyT", bound=msgspec.Struct)

_LOST = frozenset({ErrorCode.CONNECTION_LOST, ErrorCode.SHUTTING_DOWN, ErrorCode.SLOW_READER})

# A daemon that was told to stop is either being restarted, which takes well under a second, or was meant to stop;
# then a `tail -f` in another window must not bring it back.
_SUCCESSOR_WITHIN_S = 5.0
_FIRST_RETRY_S = 0.02
_LONGEST_RETRY_S = 0.25

# Lost this often in a row, each time at once: it is our request that the daemon dies of.
_MOST_LOSSES = 5
_SETTLED_S = 5.0


class Daemon:
    """A connection that outlives the daemon behind it. Close it, or use it as a context manager.

    Args:
        autostart: start the daemon when there is none.
        paths: of which instance; default: the one that the environment selects.
        on_connect: called each time a connection was made, before anything is asked on it.
        timeout_s: how long making a connection may take.
    """

    def __init__(
        self,
        *,
        autostart: bool = True,
        paths: Paths | None = None,
        on_connect: Callable[[], None] | None = None,
        timeout_s: float = START_TIMEOUT_S,
    ) -> None:
        self._autostart = autostart
        self._on_connect = on_connect
        self._timeout_s = timeout_s
        self._paths = paths or Paths.from_environment()
        self._client: daemon_client.Client | None = None
        self._connected_at = 0.0
        self._losses = 0

    def __enter__(self) -> "Daemon":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop the connection; the next request makes a new one. What was under way is cancelled by the daemon."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def call(self, request: Request[ReplyT], *, repeat: bool = True) -> ReplyT:
        """Send a request and return its reply.

        Args:
            request: what to ask.
            repeat: whether it may be asked again when the daemon went away before it answered, because doing it twice
                is the same as doing it once.

        Raises:
            BgjobError: what the daemon answered; DAEMON_UNREACHABLE, DAEMON_SILENT or CONNECTION_LOST when it cannot be
                asked.
        """
        started = time.monotonic()
        while True:
            try:
                return self._connected().call(asked_again(request, time.monotonic() - started))
            except BgjobError as error:
                if not repeat:
                    raise
                self._recover(error, revive=not isinstance(request, Wait))

    def follow(self, request: Follow) -> Iterator[FollowItem | FollowReply]:
        """Stream output, and go on where it stopped when the daemon went away. The last value is the reply.

        Raises:
            BgjobError: as `call`.
        """
        return self._stream(request, lambda item: msgspec.structs.replace(request, since=_after(item), lines=None))

    def events(self, request: Events) -> Iterator[Event | EventsReply]:
        """Stream what happens to jobs; otherwise like `follow`. `since` has to be given: it is where to go on from."""
        return self._stream(request, lambda event: msgspec.structs.replace(request, since=event.seq))

    def _stream(
        self, request: StreamRequest[ItemT, ReplyT], rest: Callable[[ItemT], StreamRequest[ItemT, ReplyT]]
    ) -> Iterator[ItemT | ReplyT]:
        """Stream the answers to `request`, then the reply; `rest` says what to ask for after an item was the last."""
        while True:
            try:
                stream = self._connected().stream(request)
                for item in stream:
                    request = rest(item)
                    yield item
                yield stream.reply
                return
            except BgjobError as error:
                self._recover(error, revive=False)

    def _connected(self) -> daemon_client.Client:
        if self._client is None:
            self._client = self._connect(self._autostart)
        return self._client

    def _connect(self, autostart: bool) -> daemon_client.Client:
        if not autostart and is_only_a_socket(self._paths):
            raise BgjobError(
                ErrorCode.DAEMON_UNREACHABLE, "cannot reach the daemon: it does not run", "Run `bgjob daemon start`."
            )
        info = ClientInfo(kind="cli", version=VERSION, pid=os.getpid())
        connection = daemon_client.connect(self._paths, autostart=autostart, client=info, timeout_s=self._timeout_s)
        self._connected_at = time.monotonic()
        if self._on_connect is not None:
            self._on_connect()
        return connection

    def _recover(self, error: BgjobError, *, revive: bool) -> None:
        """Make way for a new connection after a loss; raise `error` when it is none, or there is no use.

        With `revive` a daemon that was told to stop is started again: the request came after all.
        """
        if error.code not in _LOST:
            raise error
        self.close()
        self._losses = 1 if time.monotonic() - self._connected_at > _SETTLED_S else self._losses + 1
        if self._losses > _MOST_LOSSES:
            raise error
        if self._was_told_to_stop(error):
            self._client = self._successor()
            if self._client is None and not revive:
                raise error

    def _was_told_to_stop(self, error: BgjobError) -> bool:
        """Return whether the daemon ended on purpose: then it says so, or has taken its socket away. A crash cannot."""
        return error.code is ErrorCode.SHUTTING_DOWN or not os.path.exists(self._paths.socket)

    def _successor(self) -> daemon_client.Client | None:
        """Return a connection to the daemon that follows one that is stopping; None when none comes."""
        deadline = time.monotonic() + _SUCCESSOR_WITHIN_S
        pause_s = _FIRST_RETRY_S
        while True:
            try:
                return self._connect(autostart=False)
            except BgjobError as refused:
                if refused.code not in (ErrorCode.DAEMON_UNREACHABLE, *_LOST):
                    raise
            if time.monotonic() > deadline:
                return None
            time.sleep(pause_s)  # noqa: TID251  # nothing announces a daemon that does not exist yet
            pause_s = min(pause_s * 2, _LONGEST_RETRY_S)


def _after(item: FollowItem) -> int | None:
    """Return the cursor behind an item."""
    if item.run is not None:
        return item.run.offset + len(item.run.data)
    return item.gap.end if item.gap is not None else None
