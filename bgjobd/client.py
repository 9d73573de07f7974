"""Talk to the daemon, blocking: for the command line and for scripts. Sockets and msgspec only.

    with connect() as client:
        job = client.call(Submit(command=b"make", cwd=b"/src", env={})).job
        for item in client.stream(Follow(job=job.job_id)):
            ...

One call at a time. `bgjobd.async_client` has the same methods for many at once.
"""

import contextlib
import socket
import time
from collections import deque
from typing import Generic, TypeVar

import msgspec

from bgjobd.autostart import START_TIMEOUT_S, open_connection
from bgjobd.conversation import RESTART, Conversation, connection_lost, decode_body
from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.paths import Paths
from bgjobd.protocol import Answer, AnswerKind, ClientInfo, Hello, Request, Restrictions, StreamRequest

__all__ = ["Client", "Stream", "connect"]

ReplyT = TypeVar("ReplyT", bound=msgspec.Struct)
ItemT = TypeVar("ItemT", bound=msgspec.Struct)

_RECEIVE_BYTES = 256 << 10
_RETRY_S = 0.02  # until a daemon that is stopping has made way


def connect(
    paths: Paths | None = None,
    *,
    autostart: bool = True,
    client: ClientInfo | None = None,
    restrictions: Restrictions | None = None,
    timeout_s: float = START_TIMEOUT_S,
) -> "Client":
    """Return a connection to the daemon, which is started when there is none.

    Args:
        paths: of which instance; default: the one that the environment selects.
        autostart: whether to start the daemon.
        client: who is asking; jobs are tagged with it.
        restrictions: what the client asks for itself; they can only tighten the configuration.
        timeout_s: how long starting the daemon and shaking hands may take. Calls have no limit.

    Raises:
        BgjobError: DAEMON_UNREACHABLE, DAEMON_SILENT, VERSION_MISMATCH or REFUSED.
    """
    paths = paths or Paths.from_environment()
    deadline = time.monotonic() + timeout_s
    while True:
        remaining_s = max(0.0, deadline - time.monotonic())
        connection = open_connection(paths, autostart=autostart, timeout_s=remaining_s)
        try:
            return Client(connection, client or ClientInfo(), restrictions, deadline - time.monotonic())
        except BgjobError as error:
            connection.close()
            # A daemon that is stopping may still take a connection, and then drop it: the next one answers.
            if error.code is not ErrorCode.CONNECTION_LOST or not autostart or time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_S)  # noqa: TID251  # nothing announces a daemon that does not exist yet
        except BaseException:
            connection.close()
            raise


class Client:
    """A connection to the daemon. Made by `connect`; a context manager.

    After CONNECTION_LOST, or when a call was interrupted by an exception such as KeyboardInterrupt, it is closed. The
    daemon then cancels what was under way; jobs go on.
    """

    def __init__(
        self, connection: socket.socket, client: ClientInfo, restrictions: Restrictions | None, timeout_s: float
    ) -> None:
        """Shake hands on a connected socket, which then belongs to the client."""
        self._socket = connection
        self._conversation = Conversation(client, restrictions)
        self._answers: deque[Answer] = deque()
        self._incoming = memoryview(bytearray(_RECEIVE_BYTES))  # one for all: a new one each time is slow to touch
        self._open_stream: Stream[msgspec.Struct, msgspec.Struct] | None = None
        self._shake_hands(timeout_s)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def server(self) -> Hello:
        """What the daemon said about itself."""
        assert self._conversation.server is not None
        return self._conversation.server

    def close(self) -> None:
        """Close the connection. The daemon cancels what is under way; jobs go on. A second call does nothing."""
        self._socket.close()

    def call(self, request: Request[ReplyT]) -> ReplyT:
        """Send a request and wait for its reply, for as long as it takes. A stream that is still open is closed.

        Raises:
            BgjobError: what the daemon answered; CONNECTION_LOST when it went away, and nobody knows whether it did
                what was asked.
        """
        call_id = self._begin(request)
        while True:
            answer = self._next_answer(call_id)
            if answer.kind is not AnswerKind.ITEM:
                return decode_body(answer, _reply_type(request))

    def stream(self, request: StreamRequest[ItemT, ReplyT]) -> "Stream[ItemT, ReplyT]":
        """Send a request and return its items, to be iterated. A stream that is still open is closed.

        Raises:
            BgjobError: CONNECTION_LOST.
        """
        stream = Stream(self, request, self._begin(request))
        self._open_stream = stream  # type: ignore[assignment]  # only to be closed, which no type matters to
        return stream

    def _begin(self, request: Request[ReplyT] | StreamRequest[ItemT, ReplyT]) -> int:
        """Send a request; return the call's id."""
        if self._open_stream is not None:
            self._open_stream.close()
        call_id, frame = self._conversation.call(request)  # type: ignore[arg-type]  # a stream's items may be any Struct
        self._send(frame)
        return call_id

    def _next_answer(self, call_id: int) -> Answer:
        """Return the next answer to a call; skip those to calls that were abandoned."""
        while True:
            while self._answers:
                answer = self._answers.popleft()
                if answer.id == call_id:
                    return answer
            self._receive()

    def _shake_hands(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        try:
            self._send(self._conversation.hello())
            while self._conversation.server is None:
                self._socket.settimeout(max(0.001, deadline - time.monotonic()))
                self._receive()
            self._socket.settimeout(None)
        except TimeoutError as error:
            raise BgjobError(
                ErrorCode.DAEMON_SILENT,
                f"cannot reach the daemon: it took the connection and said nothing for {timeout_s:.0f} s",
                RESTART,
            ) from error

    def _send(self, frame: bytes) -> None:
        try:
            self._socket.sendall(frame)
        except OSError as error:
            self._raise_lost(error)
        except BaseException:  # a part of the frame may be out: nothing that follows would be understood
            self.close()
            raise

    def _receive(self) -> None:
        """Wait for bytes and take the answers they complete."""
        try:
            try:
                data = self._incoming[: self._socket.recv_into(self._incoming)]
            except TimeoutError:
                raise
            except OSError as error:
                self._conversation.receive(b"")
                raise connection_lost(error) from error
            self._answers += self._conversation.receive(data)
            if not data:
                raise connection_lost()
        except TimeoutError:
            raise
        except BaseException:  # an interrupt may have come between taking bytes and keeping them
            self.close()
            raise

    def _raise_lost(self, error: OSError) -> None:
        """The daemon hung up: say why, if it did; else that it did.

        Raises:
            BgjobError: always.
        """
        try:
            while True:  # what it said before it hung up is still there to be read
                self._receive()
        except BgjobError as said:
            self.close()
            if said.code is ErrorCode.CONNECTION_LOST:
                raise connection_lost(error) from error
            raise


class Stream(Generic[ItemT, ReplyT]):
    """The items of a streaming call: an iterator, once, and a context manager. `reply` is there after the last item."""

    def __init__(self, client: Client, request: StreamRequest[ItemT, ReplyT], call_id: int) -> None:
        self._client = client
        self._request = request
        self._call_id = call_id
        self._reply: ReplyT | None = None
        self._over = False

    def __enter__(self) -> "Stream[ItemT, ReplyT]":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __iter__(self) -> "Stream[ItemT, ReplyT]":
        return self

    def __next__(self) -> ItemT:
        """Wait for the next item.

        Raises:
            BgjobError: what the daemon answered; CONNECTION_LOST; CANCELLED when the stream was closed.
        """
        if self._reply is not None:
            raise StopIteration
        if self._over:
            raise BgjobError(ErrorCode.CANCELLED, f"cannot go on with {self._request.op}: it was closed, or failed")
        try:
            answer = self._client._next_answer(self._call_id)
            if answer.kind is AnswerKind.ITEM:
                return decode_body(answer, self._request.item)  # type: ignore[return-value]  # the type of its items
            self._reply = decode_body(answer, self._request.reply)  # type: ignore[assignment]  # the type of its reply
        except BgjobError:
            self._finish()
            raise
        self._finish()
        raise StopIteration

    @property
    def reply(self) -> ReplyT:
        """The final reply, once the items are exhausted.

        Raises:
            RuntimeError: they are not.
        """
        if self._reply is None:
            raise RuntimeError(f"the reply of {self._request.op} comes after its last item")
        return self._reply

    def close(self) -> None:
        """Tell the daemon to stop, unless it is done. What it sent meanwhile is skipped. Does not wait."""
        if not self._over:
            self._finish()
            if self._client._socket.fileno() >= 0:
                with contextlib.suppress(BgjobError):  # the daemon is gone, and the call with it
                    self._client._send(self._client._conversation.cancel(self._call_id))

    def _finish(self) -> None:
        self._over = True
        if self._client._open_stream is self:
            self._client._open_stream = None


def _reply_type(request: Request[ReplyT]) -> type[ReplyT]:
    return request.reply  # type: ignore[return-value]  # a class variable cannot be typed by the type parameter
