"""Passes the bytes of an MCP session on between our client and the resident host, which has the SDK in memory.

This is all that most clients ever start, so it may cost next to nothing: no asyncio, no msgspec, no SDK, not even
`socket`; tests/arch holds it to that. Two blocking loops, one for each direction, each with one chunk in its hands:
whoever does not read stops the other end, and nothing is read ahead.
"""

import _socket
import _thread
import os
import select

from bgjob_mcp.handover import ANSWER_BYTES, WELCOME, decode_answer, encode_hello
from bgjob_mcp.surroundings import Surroundings
from bgjobd.paths import Paths
from bgjobd.peer import peer_uid

__all__ = ["serve"]

_CHUNK_BYTES = 64 << 10
# The host answers when the daemon is up, which takes half a second where it is not. A host that is stuck is not waited
# for: our client gives up after 30 seconds or so, and until then we want to serve it ourselves.
_ANSWER_TIMEOUT_S = 10.0
_LOST = """\
bgjob-mcp: cannot go on: the resident host ended, which served this session. Jobs are not affected.
Restart this MCP server (in most clients: reconnect it); {log} may say why.
"""


def serve(paths: Paths, surroundings: Surroundings) -> int | None:
    """Serve the client on fd 0 and fd 1 through the host, until either side closes.

    Returns:
        The exit status; None where no host takes the session: then nothing was read from the client yet.
    """
    _hold_standard_descriptors()
    host = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        host.settimeout(_ANSWER_TIMEOUT_S)
        host.connect(paths.mcp_host_socket)
        if peer_uid(host) == os.geteuid() and _is_welcome(host, surroundings):
            host.settimeout(None)
            return _pump(host, paths)
    except OSError:  # there is none, or it went away, or it is stuck
        pass
    host.close()
    return None


def _is_welcome(host: _socket.socket, surroundings: Surroundings) -> bool:
    """Hand over our surroundings, pass on what the host says to the user, and return whether it takes the session."""
    host.sendall(encode_hello(surroundings))
    word, length = decode_answer(_exactly(host, ANSWER_BYTES))
    text = _exactly(host, length)
    if text:
        _write(2, text)
    return word == WELCOME


def _exactly(host: _socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        chunk = host.recv(size - len(received))
        if not chunk:
            raise ConnectionResetError("the host went away")
        received += chunk
    return received


def _pump(host: _socket.socket, paths: Paths) -> int:
    """Pass bytes on in both directions. Once the client sends no more, the host has the last word."""
    over: list[None] = []  # the client sends no more
    _thread.start_new_thread(_pass_up, (host, over))
    while True:
        try:
            chunk = host.recv(_CHUNK_BYTES)
        except ConnectionError:
            chunk = b""
        if not chunk:
            break
        try:
            _write(1, chunk)
        except OSError:  # the client is gone
            return 0
    if over:
        return 0
    _write(2, _LOST.format(log=paths.mcp_host_log).encode())
    return 1


def _pass_up(host: _socket.socket, over: list[None]) -> None:
    """Pass on what the client sends, then its end."""
    try:
        while chunk := _read(0):
            host.sendall(chunk)
    except OSError:
        return  # the host is gone, which the other direction finds, too
    over.append(None)
    try:
        host.shutdown(_socket.SHUT_WR)
    except OSError:
        pass  # as above


def _read(fd: int) -> bytes:
    """Return the next bytes, waiting for them also where whoever made the descriptor made it non-blocking."""
    while True:
        try:
            return os.read(fd, _CHUNK_BYTES)
        except BlockingIOError:
            select.select([fd], [], [])
        except OSError:  # a terminal that hung up, a descriptor that was never open
            return b""


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            select.select([], [fd], [])


def _hold_standard_descriptors() -> None:
    """Give closed descriptors 0, 1 and 2 a place holder, lest our socket becomes one of them."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
