"""A raw connection to the control socket: for clients that misbehave."""

import os
import socket
from types import TracebackType

import msgspec

from bgjobd.protocol import Answer, Call, Hello, Request
from bgjobd.wire import FrameDecoder, encode_frame
from tests.helpers.waiting import DEADLINE_S

_encode = msgspec.msgpack.encode


class Raw:
    """Sends what it is told and reads whole frames. Reading fails after the standard deadline."""

    def __init__(self, path: str, *, hello: bool = True) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(DEADLINE_S)
        self.socket.connect(path)
        self._decoder = FrameDecoder()
        self._frames: list[bytes] = []
        if hello:
            self.send(_encode(Hello(program="test", pid=os.getpid())))
            self.frame()

    def send(self, payload: bytes) -> None:
        """Send one frame."""
        self.socket.sendall(encode_frame(payload))

    def call(self, call_id: int, request: "Request[msgspec.Struct]") -> None:
        """Send one call; do not wait for its answer."""
        self.send(_encode(Call(call_id, request.op, msgspec.Raw(_encode(request)))))

    def frame(self) -> bytes:
        """Return the next frame; EOFError when the daemon hung up."""
        while not self._frames:
            chunk = self.socket.recv(1 << 16)
            if not chunk:
                raise EOFError
            self._frames += self._decoder.feed(chunk)
        return self._frames.pop(0)

    def answer(self) -> Answer:
        """Return the next answer."""
        return msgspec.msgpack.decode(self.frame(), type=Answer)

    def hung_up(self) -> bool:
        """Wait for the daemon to hang up."""
        try:
            while self.socket.recv(1 << 16):
                pass
        except ConnectionResetError:
            return True
        return True

    def __enter__(self) -> "Raw":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()
