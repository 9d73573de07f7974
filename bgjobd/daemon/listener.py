"""The control socket: accepts connections, checks the peer, shakes hands, and carries calls to handlers and back.

A connection is an `asyncio.Protocol` (measured: 2.5 times the requests per second of anyio's streams) whose calls run
in the daemon's task group. Nothing here knows what a request means.

Bounds: one frame is at most MAX_FRAME_BYTES; a connection has at most MAX_CALLS calls under way; while its peer does
not read, we do not read either, and streams wait; a peer that makes us hold more than MAX_UNREAD_BYTES is dropped.
"""

import asyncio
import logging
import os
import resource
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.abc
import msgspec

from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.peer import peer_uid
from bgjobd.protocol import (
    AnswerKind,
    Call,
    Cancel,
    ClientInfo,
    ErrorBody,
    Hello,
    Restrictions,
)
from bgjobd.version import PROTOCOL_MAJOR, VERSION
from bgjobd.wire import FrameDecoder, encode_frame

logger = logging.getLogger("bgjobd.listener")

MAX_CALLS = 512  # per connection; further ones are refused, so that a client cannot make us hold tasks without end
MAX_CONNECTIONS = 4096
MAX_UNREAD_BYTES = 64 << 20  # two of the largest frames, twice over
# Of the kernel, as far as it allows: with its 208 KiB a reader and we wait for each other (540 instead of 800 MiB/s).
SEND_BUFFER_BYTES = 1 << 19
HIGH_WATER_BYTES = 1 << 20  # above it streams wait for the peer
RECEIVE_BYTES = 256 << 10  # at a time
HELLO_TIMEOUT_S = 10.0  # a peer that connects and says nothing does not keep a descriptor for ever

CAPABILITIES = ["events", "wait", "search", "pty"]

_encoder = msgspec.msgpack.Encoder()
_call_decoder = msgspec.msgpack.Decoder(Call)
_hello_decoder = msgspec.msgpack.Decoder(Hello)
_cancel_decoder = msgspec.msgpack.Decoder(Cancel)

SyncHandler = Callable[["Connection", msgspec.Struct], msgspec.Struct]
AsyncHandler = Callable[["Connection", msgspec.Struct], Awaitable[msgspec.Struct]]
StreamHandler = Callable[["Connection", msgspec.Struct, "ItemSender"], Awaitable[msgspec.Struct]]
Rest = Callable[[], Awaitable[msgspec.Struct]]
BeginHandler = Callable[["Connection", msgspec.Struct], Rest]


class Route(msgspec.Struct, frozen=True):
    """How one op is answered: at once, by a task, by a task that finishes what was begun at once, or with items."""

    decoder: msgspec.msgpack.Decoder[msgspec.Struct]
    now: SyncHandler | None = None
    later: AsyncHandler | None = None
    begin: BeginHandler | None = None
    stream: StreamHandler | None = None


class _Answer(msgspec.Struct, frozen=True, array_like=True):
    """A `protocol.Answer` whose body is not encoded yet: in one pass, without a copy of what may be a mebibyte."""

    id: int
    kind: AnswerKind
    body: msgspec.Struct


class ItemSender:
    """Sends the items of one streaming call; waits while the peer does not read."""

    def __init__(self, connection: "Connection", call_id: int) -> None:
        self._connection = connection
        self._call_id = call_id

    async def send(self, item: msgspec.Struct) -> None:
        """Send one item of the stream."""
        self._connection.answer(self._call_id, AnswerKind.ITEM, item)
        await self._connection.writable()


_received = memoryview(bytearray(RECEIVE_BYTES))


class Connection(asyncio.BufferedProtocol):
    """One client. `client` and `restrictions` are what it said in its Hello."""

    client: ClientInfo
    restrictions: Restrictions

    def __init__(self, routes: dict[str, Route], tasks: anyio.abc.TaskGroup, connections: "set[Connection]") -> None:
        self._routes = routes
        self._tasks = tasks
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._decoder = FrameDecoder()
        self._ready = False
        self._calls: dict[int, anyio.CancelScope] = {}
        self._writable: asyncio.Event = asyncio.Event()
        self._writable.set()
        self._hello_timer: asyncio.TimerHandle | None = None
        self._at_end: list[Callable[[], None]] = []
        self.client = ClientInfo()
        self.restrictions = Restrictions()

    # --- asyncio.BufferedProtocol -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Check who it is; start the clock for its Hello."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(self)
        peer = transport.get_extra_info("socket")
        uid = peer_uid(peer)
        if uid != os.geteuid():
            logger.warning("connection refused: peer_uid=%s", uid)
            self._fail(BgjobError(ErrorCode.REFUSED, f"cannot serve user {uid}: this daemon serves only its own user"))
            return
        if len(self._connections) > _max_connections():
            self._fail(
                BgjobError(
                    ErrorCode.LIMIT_EXCEEDED,
                    f"cannot serve more than {_max_connections()} connections at once",
                    "Close some, or raise the limit of open files (`ulimit -n`) and run `bgjob daemon restart`.",
                )
            )
            return
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        self._hello_timer = asyncio.get_running_loop().call_later(HELLO_TIMEOUT_S, transport.abort)

    def get_buffer(self, sizehint: int) -> memoryview:
        """One buffer for all: what is in it is handled before anybody reads again."""
        return _received

    def buffer_updated(self, nbytes: int) -> None:
        """Handle every whole frame in the buffer."""
        try:
            for frame in self._decoder.feed(_received[:nbytes]):
                if self._ready:
                    self._call(frame)
                else:
                    self._hello(frame)
                if self._transport is None:
                    return
        except BgjobError as error:
            self._fail(error)
        except msgspec.MsgspecError as error:
            self._fail(BgjobError(ErrorCode.BAD_FRAME, f"cannot read a frame: {error}"))

    def eof_received(self) -> bool:
        """The peer sends no more: it is gone. (One that half-closed cannot be told from one that was killed.)"""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel what was under way; nothing here is a job, so no job is harmed."""
        self._transport = None
        self._connections.discard(self)
        self._writable.set()
        if self._hello_timer:
            self._hello_timer.cancel()
        for scope in list(self._calls.values()):
            scope.cancel()
        for call in self._at_end:
            call()

    def pause_writing(self) -> None:
        """Take no more requests from a peer that does not read its answers."""
        self._writable.clear()
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._writable.set()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    # --- answers ----------------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether the peer is gone."""
        return self._transport is None

    def at_end(self, call: Callable[[], None]) -> None:
        """Have `call` called when the peer is gone: for what counts only as long as it is there."""
        self._at_end.append(call)

    async def writable(self) -> None:
        """Wait until the peer has read most of what it was sent.

        Raises:
            BgjobError: CONNECTION_LOST when it is gone.
        """
        await self._writable.wait()
        if self._transport is None:
            raise BgjobError(ErrorCode.CONNECTION_LOST, "cannot answer: the client is gone")

    def answer(self, call_id: int, kind: AnswerKind, body: msgspec.Struct) -> None:
        """Send one answer, unless the peer is gone; drop a peer that lets answers pile up."""
        if self._transport is None:
            return
        try:
            self._transport.write(encode_frame(_encoder.encode(_Answer(call_id, kind, body))))
        except BgjobError as error:  # FRAME_TOO_LARGE: our own answer; the caller has to ask for less
            self.error(call_id, error)
            return
        if self._transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            logger.warning("connection dropped: the client does not read; client=%s", self.client.kind)
            self._transport.abort()

    def error(self, call_id: int, error: BgjobError) -> None:
        """Send the final answer of a call that failed."""
        body = ErrorBody(code=error.code.value, message=error.message, hint=error.hint, details=error.details)
        self.answer(call_id, AnswerKind.ERROR, body)

    def _failed(self, call_id: int, error: BgjobError) -> None:
        """Answer with an error, if anybody is there to be answered."""
        if self._transport is not None:
            self.error(call_id, error)

    def close(self) -> None:
        """Send what is buffered, then hang up."""
        if self._transport is not None:
            self._transport.close()

    def _fail(self, error: BgjobError) -> None:
        """Say why, and hang up: the stream cannot be trusted any further."""
        self.error(0, error)
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    # --- requests ---------------------------------------------------------------------------------------------------

    def _hello(self, frame: bytes) -> None:
        hello = _hello_decoder.decode(frame)
        if self._hello_timer:
            self._hello_timer.cancel()
        ours = Hello(program="bgjobd", version=VERSION, capabilities=CAPABILITIES, pid=os.getpid())
        if self._transport is not None:
            self._transport.write(encode_frame(_encoder.encode(ours)))
        if hello.protocol_major != PROTOCOL_MAJOR:
            raise BgjobError(
                ErrorCode.VERSION_MISMATCH,
                f"cannot talk to a client of protocol {hello.protocol_major}: this daemon speaks {PROTOCOL_MAJOR}",
                "Run `bgjob daemon restart`; jobs keep running.",
            )
        self.client = hello.client or ClientInfo()
        self.restrictions = hello.restrictions or Restrictions()
        self._ready = True

    def _call(self, frame: bytes) -> None:
        call = _call_decoder.decode(frame)
        if call.op == Cancel.op:
            scope = self._calls.get(_cancel_decoder.decode(call.body).id)
            if scope is not None:
                scope.cancel()
            return
        route = self._routes.get(call.op)
        try:
            if route is None:
                raise BgjobError(
                    ErrorCode.UNSUPPORTED,
                    f"cannot do {call.op!r}: this daemon ({VERSION}) does not know it",
                    "Run `bgjob daemon restart` after an upgrade; jobs keep running.",
                )
            if call.id in self._calls or call.id <= 0:
                raise BgjobError(
                    ErrorCode.INVALID_ARGUMENT, f"cannot take a call with id {call.id}: it is in use or not positive"
                )
            if len(self._calls) >= MAX_CALLS:
                raise BgjobError(
                    ErrorCode.LIMIT_EXCEEDED, f"cannot take another call: {MAX_CALLS} are under way on this connection"
                )
            try:
                request = route.decoder.decode(call.body)
            except msgspec.ValidationError as error:
                raise BgjobError(ErrorCode.INVALID_ARGUMENT, f"cannot read the request {call.op}: {error}") from error
            if route.now is not None:
                self.answer(call.id, AnswerKind.REPLY, route.now(self, request))
                return
            rest = None if route.begin is None else route.begin(self, request)
        except BgjobError as error:
            self.error(call.id, error)
            return
        except Exception:
            logger.exception("bug in a handler: op=%s", call.op)
            self.error(call.id, _internal(call.op))
            return
        scope = self._calls[call.id] = anyio.CancelScope()  # here already: its cancellation may come right behind it
        self._tasks.start_soon(self._run, scope, call.id, call.op, route, request, rest, name=f"call {call.op}")

    async def _run(
        self, scope: anyio.CancelScope, call_id: int, op: str, route: Route, request: msgspec.Struct, rest: Rest | None
    ) -> None:
        """One call, from start, or what is left of it, to its one final answer."""
        if self._transport is None:  # the peer went away before we started
            self._calls.pop(call_id, None)
            return
        try:
            with scope:
                if rest is not None:
                    reply = await rest()
                elif route.stream is not None:
                    reply = await route.stream(self, request, ItemSender(self, call_id))
                else:
                    assert route.later is not None
                    reply = await route.later(self, request)
                self.answer(call_id, AnswerKind.REPLY, reply)
            if scope.cancelled_caught:
                self.error(call_id, BgjobError(ErrorCode.CANCELLED, f"{op} was cancelled by the caller"))
        except BgjobError as error:
            self._failed(call_id, error)
        except ExceptionGroup as group:  # from the tasks of a call, which were all cancelled by the first that failed
            expected, others = group.split(BgjobError)
            if others is not None or expected is None:
                logger.exception("bug in a handler: op=%s", op)
                self.error(call_id, _internal(op))
            else:
                self._failed(call_id, _first(expected))
        except Exception:  # the top of a call: a bug in one request must not take the daemon down
            logger.exception("bug in a handler: op=%s", op)
            self.error(call_id, _internal(op))
        finally:
            self._calls.pop(call_id, None)


def _first(group: ExceptionGroup[BgjobError]) -> BgjobError:
    """Return the first error of a group, however deep."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error


def _internal(op: str) -> BgjobError:
    return BgjobError(
        ErrorCode.INTERNAL, f"cannot do {op}: a bug in bgjob", "The details are in the log: `bgjob daemon logs`."
    )


def _max_connections() -> int:
    """Return how many connections we take: half of our descriptors, so that there are always some to work with."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, soft // 2)


async def listen(
    path: str,
    routes: dict[str, Route],
    tasks: anyio.abc.TaskGroup,
    connections: set[Connection],
    inherited: socket.socket | None = None,
) -> asyncio.Server:
    """Open the control socket at `path`, mode 0600, or use the one that the service manager opened there.

    A stale file is replaced: our caller holds the daemon's lock.
    """
    listening = inherited
    if listening is None:
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass  # the usual case
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(path)  # the umask is 077, and the directory is ours alone
        os.chmod(path, 0o600)
    # Python 3.13 removes the file when the server is closed: that of a service manager's socket has to stay.
    keep: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
    return await asyncio.get_running_loop().create_unix_server(
        lambda: Connection(routes, tasks, connections), sock=listening, backlog=512, **keep
    )
