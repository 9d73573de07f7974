"""The wire of one session: lines of an asyncio stream; and that on stdin and stdout, with nothing else on it.

While the wire is served, fd 0 reads /dev/null and fd 1 writes to stderr: what a library prints, or a child reads,
cannot touch the protocol. Pipes and sockets are read and written by the event loop: the SDK's own transport takes two
thread hops for each message, and its reading thread keeps the process from ending on SIGINT. Anything else (a
terminal, a file) gets the SDK's transport, which has the same guard.
"""

import asyncio
import fcntl
import logging
import os
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, cast

import anyio.to_thread
from mcp.server.stdio import stdio_server

__all__ = ["MAX_LINE_BYTES", "streams", "wire"]

log = logging.getLogger(__name__)

MAX_LINE_BYTES = 64 << 20  # one message; asyncio's default of 64 KiB is less than an `interact` may carry


class Lines:
    """What the SDK reads messages from: lines of an asyncio stream.

    While the client does not read its answers, it is not read either: they would pile up here.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def __aiter__(self) -> "Lines":
        return self

    async def __anext__(self) -> str:
        await self._writer.drain()
        try:
            line = await self._reader.readline()
        except ValueError:  # no end of the line within the limit: what follows cannot be understood
            log.error("session ended: a message is longer than %d bytes", MAX_LINE_BYTES)
            line = b""
        if not line:
            raise StopAsyncIteration
        return line.decode("utf-8", "replace")


class Writer:
    """What the SDK writes messages to."""

    def __init__(self, writer: asyncio.StreamWriter, answered: Callable[[], None] | None) -> None:
        self._writer = writer
        self._answered = answered

    async def write(self, text: str) -> None:
        """Queue a message."""
        self._writer.write(text.encode())

    async def flush(self) -> None:
        """Wait until the other side takes more."""
        await self._writer.drain()
        if self._answered is not None:
            answered, self._answered = self._answered, None
            await anyio.to_thread.run_sync(answered)


def streams(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answered: Callable[[], None] | None = None
) -> AbstractAsyncContextManager[tuple[Any, Any]]:
    """Serve MCP over a pair of asyncio streams, and provide the SDK's two.

    Args:
        reader: with a limit of MAX_LINE_BYTES.
        answered: called once, in a thread, after the first message to the client.
    """
    # The SDK says it wants AsyncFile, and uses just what Lines and Writer have.
    return stdio_server(cast("Any", Lines(reader, writer)), cast("Any", Writer(writer, answered)))


@asynccontextmanager
async def wire(answered: Callable[[], None]) -> AsyncIterator[tuple[Any, Any]]:
    """Serve MCP over fd 0 and fd 1 of this process, and yield the SDK's two streams. May be entered once.

    `answered` is as above. It is not called over a terminal or a file, where a person tries the server out.
    """
    if not (_is_pipe(0) and _is_pipe(1)):
        async with stdio_server() as both:
            yield both
        return
    incoming, outgoing = _take_over()
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(incoming, "rb", 0))
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.streams.FlowControlMixin(loop=loop), os.fdopen(outgoing, "wb", 0)
    )
    writer = asyncio.StreamWriter(transport, cast("Any", protocol), None, loop)
    try:
        async with streams(reader, writer, answered) as both:
            yield both
    finally:
        writer.close()


def _is_pipe(fd: int) -> bool:
    mode = os.fstat(fd).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _take_over() -> tuple[int, int]:
    """Return private copies of fd 0 and fd 1, and point those where nothing on the wire can be touched."""
    incoming = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3)
    outgoing = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, 3)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return incoming, outgoing
