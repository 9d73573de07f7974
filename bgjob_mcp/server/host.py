"""The resident host: serves the sessions that clients' processes hand over, each with its own surroundings.

Every session has a server, a line to the daemon and streams of its own, and waits for nobody but its own client; what
they share is the event loop and the imports. The host leaves when it is not needed: after the deadline that the end of
the last session starts, or after the last session once a newer version has asked for its place. A session that comes
at that very moment loses nothing: it was not welcomed yet, and is served by the process that its client started.
"""

import asyncio
import contextlib
import logging
import math
import os
import resource
import signal
import socket
from contextvars import ContextVar

import anyio
import anyio.abc
import anyio.to_thread

from bgjob_mcp.handover import (
    REFUSED,
    WELCOME,
    BadHelloError,
    decode_line,
    decode_surroundings,
    encode_answer,
    is_newer,
)  # fmt: skip
from bgjob_mcp.in_process import problems
from bgjob_mcp.server.app import serve
from bgjob_mcp.server.stdio import MAX_LINE_BYTES, streams
from bgjob_mcp.surroundings import Surroundings
from bgjobd.autostart import open_connection
from bgjobd.errors import BgjobError
from bgjobd.paths import Paths
from bgjobd.peer import peer_uid
from bgjobd.version import VERSION

__all__ = ["serve_sessions"]

log = logging.getLogger("bgjob_mcp.host")

_HELLO_TIMEOUT_S = 10.0  # a peer that connects and says nothing does not keep a descriptor for ever
_REST_S = 0.1  # where there is no descriptor for the next session, until there may be one
_SESSION_DESCRIPTORS = 3  # its client, its line to the daemon, and one while that is made
_MOST_DESCRIPTORS = 4096

_client_pid: ContextVar[int] = ContextVar("client_pid", default=0)


async def serve_sessions(paths: Paths, listening: socket.socket, lock: int, idle_s: float) -> None:
    """Serve sessions until none has been there for `idle_s`, a newer host has taken over, or SIGTERM or SIGINT.

    Args:
        paths: of our instance.
        listening: bound to its `mcp_host_socket`, and closed here.
        lock: held as long as we take sessions, and closed here.
    """
    _tell_clients_apart()
    async with anyio.create_task_group() as tasks:
        host = _Host(paths, listening, lock)
        try:
            tasks.start_soon(_until_told, tasks.cancel_scope, name="signals")
            tasks.start_soon(host.accept, tasks, name="accept sessions")
            await host.until_unneeded(idle_s)
            tasks.cancel_scope.cancel()
        finally:
            host.leave()


class _Host:
    """The place that clients find, and who is being served there."""

    def __init__(self, paths: Paths, listening: socket.socket, lock: int) -> None:
        self._paths = paths
        self._listening = listening
        self._lock = lock
        self._accepting = anyio.CancelScope()
        self._left = False
        self._sessions = 0
        self._changed = anyio.Event()

    def leave(self) -> None:
        """Make way for another host. Sessions go on; a second call does nothing."""
        if self._left:
            return
        self._left = True
        self._accepting.cancel()
        # While we hold the lock nobody else has put a socket there.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._paths.mcp_host_socket)
        os.close(self._lock)

    async def accept(self, tasks: anyio.abc.TaskGroup) -> None:
        """Take sessions until we leave. Whoever is still in line then finds the connection closed."""
        loop = asyncio.get_running_loop()
        with self._listening, self._accepting:
            while True:
                try:
                    connection, _ = await loop.sock_accept(self._listening)
                except OSError as error:
                    log.warning("cannot take a session: %s", error.strerror)
                    await anyio.sleep(_REST_S)  # noqa: TID251  # nothing announces that there are descriptors again
                    continue
                tasks.start_soon(self._run, connection, name="session")

    async def until_unneeded(self, idle_s: float) -> None:
        """Wait until we have left and the last session is over. Leave when there is none for `idle_s`."""
        while self._sessions or not self._left:
            changed = self._changed
            with anyio.move_on_after(math.inf if self._sessions else idle_s) as deadline:
                await changed.wait()
            # A session may have come in the same moment: it is served, but the last one.
            if deadline.cancelled_caught:
                self.leave()

    async def _run(self, connection: socket.socket) -> None:
        """One session, from its hello to its end, whatever happens in it."""
        self._count(+1)
        try:
            await self._session(connection)
        except* BadHelloError as refused:
            log.warning("session refused: %s", refused.exceptions[0])
        except* (anyio.BrokenResourceError, anyio.ClosedResourceError, ConnectionError):
            log.info("the client went away while it was being written to")
        except* Exception:  # the top of a session: a bug in one must not end the others
            log.exception("session ended by a bug")
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        self._sessions += change
        self._changed.set()
        self._changed = anyio.Event()

    async def _session(self, connection: socket.socket) -> None:
        try:
            uid = peer_uid(connection)
            if uid != os.geteuid():
                raise BadHelloError(f"the peer is user {uid}")
            reader, writer = await asyncio.open_unix_connection(sock=connection, limit=MAX_LINE_BYTES)
        except BaseException:
            connection.close()
            raise
        try:
            surroundings = await self._greet(reader, writer)
            if surroundings is not None:
                async with streams(reader, writer) as both:
                    await serve(both, surroundings, Paths.from_environment(surroundings.variables))
        finally:
            writer.close()
            await writer.wait_closed()  # what is still to be read is sent first

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Surroundings | None:
        """Read the hello and answer it; return None when the session is not ours to serve."""
        version, body = await _read_hello(reader)
        refusal = self._refusal(version)
        if refusal is not None:
            writer.write(encode_answer(REFUSED, refusal))
            return None
        surroundings = decode_surroundings(body)
        _client_pid.set(surroundings.pid)
        said = await anyio.to_thread.run_sync(_before_the_first_message, surroundings)
        writer.write(encode_answer(WELCOME, said))
        return surroundings

    def _refusal(self, version: str) -> str | None:
        """Return what a process is told whose session we do not take; None when we do.

        It then serves its client itself, and starts the next host.
        """
        if is_newer(version, VERSION):
            self.leave()  # before the answer, which lets a host of that version be started
            return ""
        if version != VERSION:
            return f"bgjob-mcp: this is {version}, the resident host is {VERSION}: serving without it\n"
        if self._sessions > _max_sessions():
            return f"bgjob-mcp: the resident host serves {_max_sessions()} sessions, its most: serving without it\n"
        return None


async def _read_hello(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    """Return the version of a hello, and what follows its first line."""
    try:
        with anyio.fail_after(_HELLO_TIMEOUT_S):
            version, length = decode_line(await reader.readline())
            return version, await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        raise BadHelloError("it ended in the middle") from error
    except (TimeoutError, ValueError) as error:  # ValueError: a first line without an end
        raise BadHelloError(f"it did not come: {error!r}") from error


def _before_the_first_message(surroundings: Surroundings) -> str:
    """Make sure that the daemon is up; return what there is to say to the user.

    The session is served even when it is not: each call tries again, and says what is wrong.
    """
    said = ""
    try:
        open_connection(Paths.from_environment(surroundings.variables)).close()
    except BgjobError as error:
        said = f"bgjob-mcp: {error}\n"
    return said + problems(surroundings)


async def _until_told(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            scope.cancel()
            return


def _tell_clients_apart() -> None:
    """Put into each line of the log whose session it is about: the pid of the process that the client started."""
    make = logging.getLogRecordFactory()

    def made(*arguments: object, **keywords: object) -> logging.LogRecord:
        record = make(*arguments, **keywords)
        if _client_pid.get():
            record.name = f"{record.name}[client {_client_pid.get()}]"
        return record

    logging.setLogRecordFactory(made)


def _max_sessions() -> int:
    """Return how many sessions we take, so that there are always descriptors left to work with."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (_MOST_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft // 2) // _SESSION_DESCRIPTORS
