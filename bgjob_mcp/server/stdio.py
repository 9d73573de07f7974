"""The wire on stdin and stdout, and nothing else on it.

While the wire is served, fd 0 reads /dev/null and fd 1 writes to stderr: what a library prints, or a child reads,
cannot touch the protocol. Pipes and sockets are read and written by the event loop: the SDK's own transport takes two
thread hops for each message, and its reading thread keeps the process from ending on SIGINT. Anything else (a
terminal, a file) gets the SDK's transport, which has the same guard.
"""

import asyncio
import fcntl
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from mcp.server.stdio import stdio_server

__all__ = ["Lines", "Writer", "wire"]

MAX_LINE_BYTES = 64 << 20  # one message; asyncio's default of 64 KiB is less than an `interact` may carry


class Lines:
    """What the SDK reads messages from: lines of an asyncio stream."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    def __aiter__(self) -> "Lines":
        return self

    async def __anext__(self) -> str:
        line = await self._reader.readline()
        if not line:
            raise StopAsyncIteration
        return line.decode("utf-8", "replace")


class Writer:
    """What the SDK writes messages to."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def write(self, text: str) -> None:
        """Queue a message."""
        self._writer.write(text.encode())

    async def flush(self) -> None:
        """Wait until the other side takes more."""
        await self._writer.drain()


@asynccontextmanager
async def wire() -> AsyncIterator[tuple[Any, Any]]:
    """Serve MCP over fd 0 and fd 1 of this process, and yield the SDK's two streams. May be entered once."""
    if not (_is_pipe(0) and _is_pipe(1)):
        async with stdio_server() as streams:
            yield streams
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
        # The SDK says it wants AsyncFile, and uses just what Lines and Writer have.
        async with stdio_server(cast("Any", Lines(reader)), cast("Any", Writer(writer))) as streams:
            yield streams
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
