"""Packets between the daemon and the zygote's side: one word, a blank, the rest. SEQPACKET, or a stream with lengths.

All spares share one descriptor and take turns with `receive`: there is no dispatcher in between, and on a stream nobody
reads a part of somebody else's packet.
"""

import _socket
import fcntl
import os
import struct

_LENGTH = struct.Struct("<I")
MAX_PACKET_BYTES = 8192


class Channel:
    """The zygote's end of the daemon's socketpair, shared by the zygote, its spares and its runners.

    Sending never blocks and never fails: packets to the daemon are hints, and the daemon may be gone. What it has no
    room for goes through the zygote, see `hints`.

    Args:
        fd: the socket.
        turns: path of a file to make for a moment, by which several processes receive in turn; empty: only one does.

    Raises:
        OSError: there can be no such file.
    """

    __slots__ = ("_is_stream", "_socket", "_turns")

    def __init__(self, fd: int, turns: str = "") -> None:
        self._turns = _nameless_file(turns) if turns else -1
        self._socket = _socket.socket(fileno=fd)
        self._is_stream = self._socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_TYPE) == _socket.SOCK_STREAM

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._socket.fileno()

    def descriptors(self) -> tuple[int, int]:
        """Return all that receiving needs."""
        return self._socket.fileno(), self._turns

    def close(self) -> None:
        """Let go of it; what is sent later goes nowhere."""
        self._socket.close()
        if self._turns >= 0:
            os.close(self._turns)
            self._turns = -1

    def receive(self) -> bytes | None:
        """Wait for our turn and the next packet; None when the daemon's end is closed and all it sent was taken."""
        if self._turns < 0:
            return self._receive_packet()
        # A record lock belongs to a process (POSIX fcntl), although forks share the descriptor, and ends with it.
        fcntl.lockf(self._turns, fcntl.LOCK_EX)
        packet = self._receive_packet()
        fcntl.lockf(self._turns, fcntl.LOCK_UN)
        return packet

    def _receive_packet(self) -> bytes | None:
        try:
            if self._is_stream:
                return self._receive_exactly(_LENGTH.unpack(self._receive_exactly(_LENGTH.size))[0])
            return self._socket.recv(MAX_PACKET_BYTES) or None
        except (EOFError, ConnectionResetError):
            return None

    def send(self, word: bytes, rest: bytes) -> bool:
        """Send a packet if that is possible right now; False when there is no room: the daemon is far behind."""
        packet = word + b" " + rest
        if self._is_stream:
            packet = _LENGTH.pack(len(packet)) + packet
        try:
            self._socket.send(packet, _socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True  # EPIPE: the daemon is gone, and the next one looks at the records
        return True

    def _receive_exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            chunk = self._socket.recv(size - len(data))
            if not chunk:
                raise EOFError
            data += chunk
        return data


def _nameless_file(path: str) -> int:
    if hasattr(os, "memfd_create"):  # on a network file system waiting for a lock can take seconds
        return os.memfd_create("bgjob-turns", os.MFD_CLOEXEC)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.unlink(path)
    return fd
