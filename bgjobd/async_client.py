"""Talk to the daemon from anyio: for the MCP server. The same methods as `bgjobd.client`, many calls at once.

    async with connect() as client:
        job = (await client.call(Submit(command=b"make", cwd=b"/src", env={}))).job
        async with client.stream(Follow(job=job.job_id)) as items:
            async for item in items:
                ...

All calls share one connection, read by one task. A stream has a connection of its own: the kernel bounds what is
under way on it, so a consumer that is slow holds up nobody else, and nothing is dropped.

A client outlives the daemon: a call that was under way fails with CONNECTION_LOST, the next one connects again.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

import anyio
import anyio.abc
import anyio.to_thread
import msgspec

from bgjobd.autostart import START_TIMEOUT_S, open_connection
from bgjobd.conversation import RESTART, Conversation, connection_lost, decode_body
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.paths import Paths
from bgjobd.protocol import Answer, AnswerKind, ClientInfo, Hello, Request, Restrictions, StreamRequest

__all__ = ["AsyncClient", "AsyncStream", "connect"]

ReplyT = TypeVar("ReplyT", bound=msgspec.Struct)
ItemT = TypeVar("ItemT", bound=msgspec.Struct)

_RECEIVE_BYTES = 256 << 10
_RETRY_S = 0.02  # until a daemon that is stopping has made way
# A frame has to go out whole, also when its call is cancelled. A daemon that does not read for this long is stuck.
_SEND_TIMEOUT_S = 10.0


@asynccontextmanager
async def connect(
    paths: Paths | None = None,
    *,
    autostart: bool = True,
    client: ClientInfo | None = None,
    restrictions: Restrictions | None = None,
    timeout_s: float = START_TIMEOUT_S,
) -> AsyncIterator["AsyncClient"]:
    """Provide a connection to the daemon, which is started when there is none, now and whenever it is gone later.

    Args:
        paths: of which instance; default: the one that the environment selects.
        autostart: whether to start the daemon.
        client: who is asking; jobs are tagged with it.
        restrictions: what the client asks for itself; they can only tighten the configuration.
        timeout_s: how long starting the daemon and shaking hands may take. Calls have no limit.

    Raises:
        BgjobError: DAEMON_UNREACHABLE, DAEMON_SILENT, VERSION_MISMATCH or REFUSED.
    """
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        dialer = _Dialer(paths or Paths.from_environment(), autostart, client or ClientInfo(), restrictions, timeout_s)
        opened = AsyncClient(dialer, tasks)
        try:
            await opened._connected()
            yield opened
        except Exception as error:  # passed on outside of the task group, which would wrap it in an ExceptionGroup
            failure = error
        finally:
            await opened.aclose()
            tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


class AsyncClient:
    """Connections to the daemon. Made by `connect`.

    Cancelling a call cancels it in the daemon, too; jobs go on.
    """

    def __init__(self, dialer: "_Dialer", tasks: anyio.abc.TaskGroup) -> None:
        self._dialer = dialer
        self._tasks = tasks
        self._link: _Link | None = None
        self._connecting = anyio.Lock()
        self._closed = False

    @property
    def server(self) -> Hello:
        """What the daemon said about itself when we last connected."""
        assert self._dialer.server is not None
        return self._dialer.server

    async def aclose(self) -> None:
        """Close the connection. The daemon cancels what is under way; jobs go on. A second call does nothing."""
        self._closed = True
        if self._link is not None:
            await self._link.close(connection_lost())

    async def call(self, request: Request[ReplyT]) -> ReplyT:
        """Send a request and wait for its reply, for as long as it takes.

        Raises:
            BgjobError: what the daemon answered; CONNECTION_LOST when it went away, and nobody knows whether it did
                what was asked; the next call connects again, with the errors of `connect`.
        """
        link = await self._connected()
        answer = await link.call(request)
        return decode_body(answer, request.reply)  # type: ignore[return-value]  # a class variable cannot be typed by the type parameter

    def stream(self, request: StreamRequest[ItemT, ReplyT]) -> "AsyncStream[ItemT, ReplyT]":
        """Return the items of a request, to be iterated within `async with`. It is sent when the first is asked for."""
        return AsyncStream(self._dialer, request)

    async def _connected(self) -> "_Link":
        """Return a connection that works, as far as we know."""
        async with self._connecting:  # one at a time: those who waited find what the first one made
            if self._closed:
                raise BgjobError(ErrorCode.CONNECTION_LOST, "cannot ask the daemon: the client was closed")
            if self._link is None or self._link.over:
                self._link = _Link(await self._dialer.dial())
                self._tasks.start_soon(self._link.run, name="bgjob connection")
            return self._link


class AsyncStream(Generic[ItemT, ReplyT]):
    """The items of a streaming call: an async iterator, once, and an async context manager.

    `reply` is there after the last item.
    """

    def __init__(self, dialer: "_Dialer", request: StreamRequest[ItemT, ReplyT]) -> None:
        self._dialer = dialer
        self._request = request
        self._connection: _Connection | None = None
        self._answers: list[Answer] = []  # received and not taken yet, the first one last
        self._reply: ReplyT | None = None
        self._closed = False

    async def __aenter__(self) -> "AsyncStream[ItemT, ReplyT]":
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    def __aiter__(self) -> "AsyncStream[ItemT, ReplyT]":
        return self

    async def __anext__(self) -> ItemT:
        """Wait for the next item.

        Raises:
            BgjobError: what the daemon answered; CONNECTION_LOST; CANCELLED when the stream was closed; the errors of
                `connect`.
        """
        if self._reply is not None:
            raise StopAsyncIteration
        if self._closed:
            raise BgjobError(ErrorCode.CANCELLED, f"cannot go on with {self._request.op}: it was closed, or failed")
        try:
            answer = await self._next_answer()
            if answer.kind is AnswerKind.ITEM:
                return decode_body(answer, self._request.item)  # type: ignore[return-value]  # the type of its items
            self._reply = decode_body(answer, self._request.reply)  # type: ignore[assignment]  # the type of its reply
        except BaseException:
            await self.aclose()
            raise
        await self.aclose()
        raise StopAsyncIteration

    @property
    def reply(self) -> ReplyT:
        """The final reply, once the items are exhausted.

        Raises:
            RuntimeError: they are not.
        """
        if self._reply is None:
            raise RuntimeError(f"the reply of {self._request.op} comes after its last item")
        return self._reply

    async def aclose(self) -> None:
        """Hang up, on which the daemon stops. A second call does nothing."""
        self._closed = True
        if self._connection is not None:
            await self._connection.close()

    async def _next_answer(self) -> Answer:
        if self._connection is None:
            self._connection = await self._dialer.dial()
            await self._connection.send(self._connection.conversation.call(self._request)[1])  # type: ignore[arg-type]  # its items may be any Struct
        while not self._answers:
            self._answers = (await self._connection.receive())[::-1]
        return self._answers.pop()


class _Connection:
    """A socket, and the conversation on it."""

    def __init__(self, stream: anyio.abc.ByteStream, conversation: Conversation) -> None:
        self.conversation = conversation
        self._stream = stream
        self._sending = anyio.Lock()

    async def send(self, frame: bytes) -> None:
        """Send a whole frame, also when cancelled meanwhile: what follows a part of one would not be understood.

        Raises:
            BgjobError: CONNECTION_LOST.
        """
        async with self._sending:
            with anyio.move_on_after(_SEND_TIMEOUT_S, shield=True) as deadline:
                try:
                    await self._stream.send(frame)
                except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
                    raise connection_lost() from error
            if deadline.cancelled_caught:
                await self.close()
                raise connection_lost()

    async def receive(self) -> list[Answer]:
        """Wait for bytes and return the answers they complete, possibly none.

        Raises:
            BgjobError: CONNECTION_LOST, or as in `Conversation.receive`.
        """
        try:
            data = await self._stream.receive(_RECEIVE_BYTES)
        except (OSError, anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            self.conversation.receive(b"")
            raise connection_lost() from error
        return self.conversation.receive(data)

    async def close(self) -> None:
        """Hang up at once."""
        await anyio.aclose_forcefully(self._stream)


class _Dialer:
    """Makes connections: starts the daemon where necessary, and shakes hands."""

    def __init__(
        self,
        paths: Paths,
        autostart: bool,
        client: ClientInfo,
        restrictions: Restrictions | None,
        timeout_s: float,
    ) -> None:
        self.server: Hello | None = None
        self._paths = paths
        self._autostart = autostart
        self._client = client
        self._restrictions = restrictions
        self._timeout_s = timeout_s

    async def dial(self) -> _Connection:
        """Return a connection on which the daemon has said who it is.

        Raises:
            BgjobError: as `connect`.
        """
        deadline = anyio.current_time() + self._timeout_s
        while True:
            try:
                return await self._shake_hands(await self._open(deadline), deadline)
            except BgjobError as error:
                # A daemon that is stopping may still take a connection, and then drop it: the next one answers.
                lost = error.code is ErrorCode.CONNECTION_LOST
                if not lost or not self._autostart or anyio.current_time() > deadline:
                    raise
            await anyio.sleep(_RETRY_S)  # noqa: TID251  # nothing announces a daemon that does not exist yet

    async def _shake_hands(self, connection: _Connection, deadline: float) -> _Connection:
        conversation = connection.conversation
        try:
            with anyio.move_on_after(max(0.0, deadline - anyio.current_time())):
                await connection.send(conversation.hello())
                while conversation.server is None:
                    await connection.receive()
        except BaseException:
            await connection.close()
            raise
        if conversation.server is None:
            await connection.close()
            raise BgjobError(
                ErrorCode.DAEMON_SILENT,
                "cannot reach the daemon: it took the connection and said nothing",
                RESTART,
            )
        self.server = conversation.server
        return connection

    async def _open(self, deadline: float) -> _Connection:
        """Connect, once a thread has seen to it that there is a daemon, and that it is ours."""
        await anyio.to_thread.run_sync(self._probe, deadline - anyio.current_time(), abandon_on_cancel=True)
        try:
            stream = await anyio.connect_unix(self._paths.socket)
        except OSError as error:
            raise connection_lost(error) from error
        return _Connection(stream, Conversation(self._client, self._restrictions))

    def _probe(self, timeout_s: float) -> None:
        open_connection(self._paths, autostart=self._autostart, timeout_s=timeout_s).close()


class _Link:
    """A connection that many calls share. One task reads it and hands each answer to its call."""

    def __init__(self, connection: _Connection) -> None:
        self.over = False
        self._connection = connection
        self._calls: dict[int, _PendingCall] = {}
        self._reason: BgjobError | None = None  # why it is over

    async def run(self) -> None:
        """Read until the connection ends; then every call that is under way fails."""
        try:
            while True:
                for answer in await self._connection.receive():
                    call = self._calls.get(answer.id)
                    if call is not None and answer.kind is not AnswerKind.ITEM:
                        call.finish(answer)
        except BgjobError as error:
            await self.close(error)
        finally:
            await self._connection.close()

    async def call(self, request: Request[ReplyT]) -> Answer:
        """Send a request and wait for its final answer."""
        if self._reason is not None:
            raise self._reason
        call_id, frame = self._connection.conversation.call(request)
        call = self._calls[call_id] = _PendingCall()
        try:
            await self._send(frame)
            return await call.wait()
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):  # bounded by the deadline of sending
                await self._send(self._connection.conversation.cancel(call_id))
            raise
        finally:
            del self._calls[call_id]

    async def close(self, reason: BgjobError) -> None:
        """Hang up; calls that are under way fail with `reason`, as do those that come too late."""
        self.over = True
        self._reason = self._reason or reason
        for call in self._calls.values():
            call.fail(reason)
        await self._connection.close()

    async def _send(self, frame: bytes) -> None:
        """Send, if anybody is there. Else the task that reads finds out why, and tells every call."""
        if not self.over:
            try:
                await self._connection.send(frame)
            except BgjobError:
                self.over = True


class _PendingCall:
    """A call that waits for its final answer."""

    def __init__(self) -> None:
        self._done = anyio.Event()
        self._answer: Answer | None = None
        self._failure: BgjobError | None = None

    def finish(self, answer: Answer) -> None:
        self._answer = answer
        self._done.set()

    def fail(self, failure: BgjobError) -> None:
        self._failure = failure
        self._done.set()

    async def wait(self) -> Answer:
        await self._done.wait()
        if self._answer is not None:
            return self._answer
        assert self._failure is not None
        failure = self._failure
        raise BgjobError(failure.code, failure.message, failure.hint, failure.details) from failure
