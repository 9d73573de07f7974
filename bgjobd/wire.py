"""Framing of the control socket, without I/O: a 4-byte big-endian length, then the payload.

Shared by the daemon, the blocking client and the async client. Must never read, write, wait or look at a clock.
"""

from bgjobd.errors import BgjobError, ErrorCode

__all__ = ["MAX_FRAME_BYTES", "FrameDecoder", "encode_frame"]

MAX_FRAME_BYTES = 16 << 20  # bounds what one peer can make the other hold in memory
_HEADER = 4


def encode_frame(payload: bytes) -> bytes:
    """Return `payload` with its length in front.

    Raises:
        BgjobError: FRAME_TOO_LARGE when the payload is over MAX_FRAME_BYTES.
    """
    if len(payload) > MAX_FRAME_BYTES:
        raise BgjobError(
            ErrorCode.FRAME_TOO_LARGE,
            f"cannot send a frame of {len(payload)} bytes: the limit is {MAX_FRAME_BYTES}",
            "Send less in one request.",
        )
    return len(payload).to_bytes(_HEADER, "big") + payload


class FrameDecoder:
    """Turns chunks of a byte stream, split anywhere, into whole frames.

    Memory is bounded by MAX_FRAME_BYTES and the size of one chunk. After an error it must not be used again: the stream
    has no way to find the next frame.
    """

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def pending_bytes(self) -> int:
        """How many bytes of an unfinished frame are held."""
        return len(self._buffer)

    def feed(self, chunk: bytes | bytearray | memoryview) -> list[bytes]:
        """Take `chunk` and return the frames it completed, in order; possibly none.

        Raises:
            BgjobError: FRAME_TOO_LARGE as soon as a header announces more than MAX_FRAME_BYTES.
        """
        buffer = self._buffer
        buffer += chunk
        frames: list[bytes] = []
        start, have = 0, len(buffer)
        while have - start >= _HEADER:
            size = int.from_bytes(buffer[start : start + _HEADER], "big")
            if size > MAX_FRAME_BYTES:
                raise BgjobError(
                    ErrorCode.FRAME_TOO_LARGE,
                    f"cannot accept a frame of {size} bytes: the limit is {MAX_FRAME_BYTES}",
                )
            end = start + _HEADER + size
            if end > have:
                break
            frames.append(bytes(memoryview(buffer)[start + _HEADER : end]))  # one copy, not two
            start = end
        if start:
            del buffer[:start]
        return frames
