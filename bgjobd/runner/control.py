"""The runner's own small protocol: what the daemon can ask of one job's runner. Standard library only, versioned.

A Unix stream socket at `Spec.control`. Every message is a frame:

    u32 length of the rest | u8 op | u32 sequence number | payload            (little-endian)

The peer chooses the sequence number of a request; its reply carries the same op and number. Requests are answered in
any order, each exactly once, unless the runner dies: then the connection ends, which is itself an answer. Payloads are
fields as in `pack_fields`, except where said. A reply with an `error` field failed.

| op | request fields | reply fields |
| --- | --- | --- |
| HELLO | version | version, job_id, state (running, draining, left, ended), out_end, blocked, stdin_open |
| INPUT | the raw bytes | accepted: once all of it is in the pipe, or with error `closed` |
| CANCEL_INPUT | target: a sequence number of INPUT | nothing; the INPUT is answered at once with what was accepted |
| CLOSE_STDIN | | once earlier input is in the pipe; on a PTY the terminal's EOF character is written |
| KILL | signal, grace_ms, actor, reason | status, and the receipt (fields of ExitRecord: killed, survivor, …) |
| SIGNAL | signal, actor, reason | the receipt |
| WATCH | offset, blocked | out_end, state, blocked: as soon as out_end > offset, or the state or blocked changed |
| RESIZE | rows, columns | |
| ASKING | | verdict, pid, name (see asking), mode: of the terminal, line, hidden or raw; empty for a pipe |
| STATUS | | as HELLO |

HELLO and STATUS of a job with a terminal also answer its size: rows, columns.

WATCH is one-shot: ask again to hear more. This is what makes a follower cost nothing while nothing happens, and bounds
what a firehose can make the runner send.
"""

import struct

__all__ = [
    "ASKING",
    "CANCEL_INPUT",
    "CLOSE_STDIN",
    "HEADER_BYTES",
    "HELLO",
    "INPUT",
    "KILL",
    "MAX_PAYLOAD_BYTES",
    "RESIZE",
    "SIGNAL",
    "STATUS",
    "VERSION",
    "WATCH",
    "ControlError",
    "Frames",
    "frame",
    "pack_fields",
    "unpack_fields",
]

VERSION = 1

HELLO, INPUT, CANCEL_INPUT, CLOSE_STDIN, KILL, SIGNAL, WATCH, RESIZE, STATUS, ASKING = range(1, 11)

_HEADER = struct.Struct("<IBI")
HEADER_BYTES = _HEADER.size
_REST = HEADER_BYTES - 4
MAX_PAYLOAD_BYTES = 1 << 20  # one INPUT; larger input is sent in several


class ControlError(Exception):
    """The bytes are not this protocol."""


def frame(op: int, sequence: int, payload: bytes = b"") -> bytes:
    """Return one message."""
    return _HEADER.pack(_REST + len(payload), op, sequence) + payload


class Frames:
    """Turns chunks of the stream into (op, sequence, payload), in order."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> list[tuple[int, int, bytes]]:
        """Take `chunk` and return the messages it completed.

        Raises:
            ControlError: a message is longer than allowed or shorter than its header.
        """
        buffer = self._buffer
        buffer += chunk
        messages = []
        while len(buffer) >= HEADER_BYTES:
            size, op, sequence = _HEADER.unpack_from(buffer)
            if not _REST <= size <= _REST + MAX_PAYLOAD_BYTES:
                raise ControlError(f"a message of {size} bytes")
            end = 4 + size
            if len(buffer) < end:
                break
            messages.append((op, sequence, bytes(buffer[HEADER_BYTES:end])))
            del buffer[:end]
        return messages


def pack_fields(*fields: tuple[str, bytes | str | int]) -> bytes:
    """Return `name:LENGTH:VALUE` lines, as in `records`; a name may come several times."""
    parts = []
    for name, value in fields:
        raw = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")
        parts.append(b"%s:%d:%s\n" % (name.encode(), len(raw), raw))
    return b"".join(parts)


def unpack_fields(payload: bytes) -> dict[str, list[bytes]]:
    """Return the values of each name, in order.

    Raises:
        ControlError: it is not what `pack_fields` makes.
    """
    fields: dict[str, list[bytes]] = {}
    position = 0
    while position < len(payload):
        name, first, rest = payload[position : position + 96].partition(b":")
        digits, second, _ = rest.partition(b":")
        if not (first and second and digits.isdigit()):
            raise ControlError(f"a field is damaged at byte {position}")
        start = position + len(name) + 1 + len(digits) + 1
        end = start + int(digits)
        if payload[end : end + 1] != b"\n":
            raise ControlError(f"a field is cut off at byte {position}")
        fields.setdefault(name.decode("ascii", "replace"), []).append(payload[start:end])
        position = end + 1
    return fields
