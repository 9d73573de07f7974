"""An agent's line to the daemon, which holds through a restart: what may be asked twice is asked again.

Source: docs/explanation/architecture.md: the daemon may be restarted at any time, jobs go on.
"""

import os
import time
from typing import TypeVar

import anyio
import msgspec

from bgjobd.async_client import AsyncClient
from bgjobd.conversation import asked_again
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.protocol import ListJobs, Output, Request, Search, Status, Submit, Tail, Wait

__all__ = ["Line"]

ReplyT = TypeVar("ReplyT", bound=msgspec.Struct)

_PASSING = frozenset({ErrorCode.CONNECTION_LOST, ErrorCode.SHUTTING_DOWN})
_ATTEMPTS = 3
_SUCCESSOR_WITHIN_S = 5.0
_LOOK_AGAIN_S = 0.05
# Asking these again changes nothing. Submit is one of them because every submission here has an idempotency key.
_REPEATABLE = (ListJobs, Output, Search, Status, Submit, Tail, Wait)


class Line:
    """Calls to the daemon through a client that connects again by itself.

    Args:
        client: the same one for all calls.
        socket: path of the daemon's; one that was told to stop takes it away, which one that crashed cannot do.
    """

    def __init__(self, client: AsyncClient, socket: str) -> None:
        self._client = client
        self._socket = socket

    async def call(self, request: Request[ReplyT]) -> ReplyT:
        """Send a request and return its reply.

        Raises:
            BgjobError: what the daemon says; CONNECTION_LOST where it went away and the request may not be repeated.
        """
        started = time.monotonic()
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._client.call(asked_again(request, time.monotonic() - started))
            except BgjobError as error:
                if error.code not in _PASSING or not isinstance(request, _REPEATABLE) or attempt == _ATTEMPTS:
                    raise
                if isinstance(request, Wait) and not await self._has_successor():
                    raise  # somebody wants no daemon, and a wait that has been there for an hour is no reason for one
        raise AssertionError("the last attempt returns or raises")

    async def _has_successor(self) -> bool:
        """Return whether there is a daemon to ask, or one to start because it crashed; a restart is waited for."""
        with anyio.move_on_after(_SUCCESSOR_WITHIN_S):
            while self._is_stopped():  # noqa: ASYNC110  # nothing announces a daemon that does not exist yet
                await anyio.sleep(_LOOK_AGAIN_S)  # noqa: TID251
        return not self._is_stopped()

    def _is_stopped(self) -> bool:
        return not os.path.exists(self._socket)
