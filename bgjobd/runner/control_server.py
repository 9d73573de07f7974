"""Serves `runner.control` on the job's socket: several peers, each bounded, each harmless to the others and to the job.

A peer that sends nonsense, asks for too much at once or does not read its answers is dropped. What a request means is
not decided here.
"""

import _socket
import errno
import os

from bgjobd.runner.control import ControlError, Frames, frame, pack_fields
from bgjobd.runner.loop import READABLE, WRITABLE, Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_CONNECTIONS = 64
_MAX_OPEN_REQUESTS = 256  # per connection, not yet answered
_MAX_UNSENT_BYTES = 1 << 20  # answers a peer has not read; one answer is at most a receipt of some 20 KiB
_RECEIVE_BYTES = 64 << 10
_BACKLOG = 128  # a non-blocking connect fails at once when it is full


class Request:
    """One request of one peer; answered exactly once, later answers and those to a lost peer do nothing."""

    __slots__ = ("connection", "op", "payload", "sequence")

    def __init__(self, connection: "Connection", op: int, sequence: int, payload: bytes) -> None:
        self.connection = connection
        self.op = op
        self.sequence = sequence
        self.payload = payload

    def reply(self, *fields: tuple[str, bytes | str | int]) -> None:
        """Answer."""
        self.connection.answer(self, pack_fields(*fields))

    def fail(self, error: str, *fields: tuple[str, bytes | str | int]) -> None:
        """Answer with an error: one word, or a sentence."""
        self.reply(("error", error), *fields)


class Connection:
    """One peer."""

    __slots__ = ("_frames", "_is_closed", "_open", "_server", "_socket", "_unsent")

    def __init__(self, server: "ControlServer", socket: _socket.socket) -> None:
        self._server = server
        self._socket = socket
        self._frames = Frames()
        self._open: set[int] = set()  # ids of unanswered Request objects
        self._unsent = bytearray()
        self._is_closed = False
        server.loop.watch(socket.fileno(), READABLE, self._ready)

    def answer(self, request: Request, payload: bytes) -> None:
        """Send an answer now or as soon as the peer reads; drop a peer that does not."""
        if self._is_closed or id(request) not in self._open:
            return
        self._open.remove(id(request))
        self._unsent += frame(request.op, request.sequence, payload)
        self._send()

    def close(self) -> None:
        """Drop the peer. A second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self._server.loop.forget(self._socket.fileno())
        self._socket.close()
        self._server.lost(self)

    def _ready(self, events: int) -> None:
        if events & WRITABLE:
            self._send()
        if events & ~WRITABLE and not self._is_closed:
            self._receive()

    def _receive(self) -> None:
        try:
            chunk = self._socket.recv(_RECEIVE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:  # ECONNRESET: it went away with answers unread
            chunk = b""
        try:
            messages = self._frames.feed(chunk) if chunk else None
        except ControlError:
            messages = None
        if messages is None:
            self.close()
            return
        for op, sequence, payload in messages:
            self._take(Request(self, op, sequence, payload))

    def _take(self, request: Request) -> None:
        if self._is_closed:
            return
        if len(self._open) >= _MAX_OPEN_REQUESTS:
            self.close()
            return
        self._open.add(id(request))
        try:
            self._server.handle(request)
        except (ControlError, ValueError) as error:
            request.fail(f"cannot read the request: {error}")

    def _send(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: self._socket.send(self._unsent)]
        except BlockingIOError:
            if len(self._unsent) > _MAX_UNSENT_BYTES:
                self.close()
                return
        except OSError:  # EPIPE, ECONNRESET
            self.close()
            return
        self._server.loop.watch(self._socket.fileno(), READABLE | (WRITABLE if self._unsent else 0), self._ready)


class ControlServer:
    """Listens on one socket.

    Args:
        loop: where to wait.
        path: of the socket; a stale one is replaced, because the caller holds the job's lock.
        handle: called with each request; a ValueError or ControlError from it is answered as a bad request.
        on_lost: called with each connection that ended.
    """

    __slots__ = ("_connections", "_on_lost", "_path", "_socket", "handle", "loop")

    def __init__(
        self,
        loop: Loop,
        path: str,
        handle: "Callable[[Request], None]",
        on_lost: "Callable[[Connection], None]",
    ) -> None:
        self.loop = loop
        self.handle = handle
        self._path = path
        self._on_lost = on_lost
        self._connections: set[Connection] = set()
        self._socket: _socket.socket | None = None

    def open(self) -> None:
        """Begin to listen; do so again if somebody has removed the socket's name. Connections stay.

        Raises:
            OSError: the socket cannot be made, e.g. on a full disk; call again later.
        """
        if self._socket is not None:
            if os.access(self._path, os.F_OK):
                return
            self._stop_listening(self._socket)
        socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            self._bind(socket)
            socket.listen(_BACKLOG)
        except OSError:
            socket.close()
            raise
        finally:
            os.umask(before)
        socket.setblocking(False)
        self._socket = socket
        self.loop.watch(socket.fileno(), READABLE, self._accept)

    def _bind(self, socket: _socket.socket) -> None:
        """Bind it to our path, in the place of one that a killed runner left there."""
        try:
            socket.bind(self._path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            os.unlink(self._path)
            socket.bind(self._path)

    def close(self) -> None:
        """Stop listening and end all connections; what they were sent can still be read."""
        if self._socket is not None:
            self._stop_listening(self._socket)
            try:
                os.unlink(self._path)
            except OSError:
                pass  # it is only a name; the next user of the path replaces it
        for connection in list(self._connections):
            connection.close()

    def _stop_listening(self, socket: _socket.socket) -> None:
        self.loop.forget(socket.fileno())
        socket.close()
        self._socket = None

    def lost(self, connection: Connection) -> None:
        """Forget a connection that has closed itself."""
        self._connections.discard(connection)
        self._on_lost(connection)

    def _accept(self, _events: int) -> None:
        assert self._socket is not None
        try:
            fd, _address = self._socket._accept()  # type: ignore[attr-defined]  # all that socket.accept adds is 1 MiB
        except OSError:
            return  # the peer is gone already, or there is no free descriptor: it will see the connection fail
        socket = _socket.socket(fileno=fd)
        socket.setblocking(False)
        if len(self._connections) >= _MAX_CONNECTIONS:
            socket.close()
            return
        self._connections.add(Connection(self, socket))
