"""Packets between the daemon and the zygote's side: one word, a blank, the rest. SEQPACKET, or a stream with lengths.

All spares wait in `receive` on the same descriptor and the kernel wakes one of them: there is no dispatcher in between.
"""

import _socket
import struct

_LENGTH = struct.Struct("<I")
MAX_PACKET_BYTES = 8192


class Channel:
    """The zygote's end of the daemon's socketpair, shared by the zygote, its spares and its runners.

    Sending never blocks and never fails: packets to the daemon are hints, and the daemon may be gone.
    """

    __slots__ = ("_is_stream", "_socket")

    def __init__(self, fd: int) -> None:
        self._socket = _socket.socket(fileno=fd)
        self._is_stream = self._socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_TYPE) == _socket.SOCK_STREAM

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._socket.fileno()

    def close(self) -> None:
        """Let go of it; what is sent later goes nowhere."""
        self._socket.close()

    def receive(self) -> bytes | None:
        """Wait for the next packet; None when the daemon's end is closed and everything it sent was taken."""
        try:
            if self._is_stream:
                return self._receive_exactly(_LENGTH.unpack(self._receive_exactly(_LENGTH.size))[0])
            return self._socket.recv(MAX_PACKET_BYTES) or None
        except (EOFError, ConnectionResetError):
            return None

    def send(self, word: bytes, rest: bytes) -> None:
        """Send a packet if that is possible right now."""
        packet = word + b" " + rest
        if self._is_stream:
            packet = _LENGTH.pack(len(packet)) + packet
        try:
            self._socket.send(packet, _socket.MSG_DONTWAIT)
        except OSError:
            return  # EPIPE: the daemon is gone. EAGAIN: it is far behind, and will look at the records anyway

    def _receive_exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            chunk = self._socket.recv(size - len(data))
            if not chunk:
                raise EOFError
            data += chunk
        return data
