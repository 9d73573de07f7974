"""How a client's process hands its session to the resident host: the bytes that pass before those of MCP. No I/O.

The process says hello: a line `bgjob-mcp VERSION LENGTH`, and LENGTH bytes with its surroundings. The host answers with
a letter and four bytes of length, and that many bytes of text, which the process prints on its standard error. After
WELCOME each side passes on what it gets; after REFUSED the process serves its client itself. It reads nothing from its
client before the answer, so that nothing is lost when there is none.

The first line is the same for every version, so that each can tell that the other one is another.
"""

import os

from bgjob_mcp.surroundings import Surroundings
from bgjobd.version import VERSION

__all__ = [
    "ANSWER_BYTES", "REFUSED", "WELCOME", "BadHelloError", "decode_answer", "decode_line",
    "decode_surroundings", "encode_answer", "encode_hello", "is_newer",
]  # fmt: skip

WELCOME, REFUSED = b"W", b"R"
ANSWER_BYTES = 5  # before the text

# Linux takes arguments and environment of 6 MiB at most (execve(2)); the rest is room for other systems.
_MAX_HELLO_BYTES = 16 << 20
_MAGIC = b"bgjob-mcp"


class BadHelloError(Exception):
    """Bytes that are no hello."""


def encode_hello(surroundings: Surroundings, version: str = VERSION) -> bytes:
    """Return the hello of a process with these surroundings."""
    fields = [b"%d" % surroundings.pid, b"%o" % surroundings.umask, os.fsencode(surroundings.cwd)]
    fields += [b"%b=%b" % item for item in surroundings.environment.items()]
    body = b"\0".join(fields)  # which none of them can hold
    return b"%b %b %d\n%b" % (_MAGIC, version.encode(), len(body), body)


def decode_line(line: bytes) -> tuple[str, int]:
    """Return the version and the length that the first line of a hello says.

    Raises:
        BadHelloError: it is none.
    """
    words = line.split()
    try:
        magic, version, length = words[0], words[1].decode("ascii"), int(words[2])
    except (IndexError, ValueError) as error:  # of which UnicodeDecodeError is one
        raise BadHelloError(f"no hello: {line[:80]!r}") from error
    if magic != _MAGIC or len(words) != 3 or not 0 <= length <= _MAX_HELLO_BYTES:
        raise BadHelloError(f"no hello: {line[:80]!r}")
    return version, length


def decode_surroundings(body: bytes) -> Surroundings:
    """Return what a hello of our own version says after its first line.

    Raises:
        BadHelloError: it says something else.
    """
    fields = body.split(b"\0")
    try:
        pid, umask, cwd = int(fields[0]), int(fields[1], 8), os.fsdecode(fields[2])
    except (IndexError, ValueError) as error:
        raise BadHelloError("no surroundings") from error
    if not os.path.isabs(cwd) or not 0 <= umask <= 0o777:
        raise BadHelloError("no surroundings")
    environment = {}
    for field in fields[3:]:
        name, _, value = field.partition(b"=")
        environment[name] = value
    return Surroundings(environment, cwd, umask, pid)


def encode_answer(word: bytes, text: str = "") -> bytes:
    """Return the host's answer, WELCOME or REFUSED, with what there is to say to the user."""
    said = text.encode("utf-8", "surrogateescape")
    return word + len(said).to_bytes(4, "big") + said


def decode_answer(head: bytes) -> tuple[bytes, int]:
    """Return the word of an answer, and how many bytes of text follow, from its first ANSWER_BYTES."""
    return head[:1], int.from_bytes(head[1:], "big")


def is_newer(version: str, than: str) -> bool:
    """Say whether one version comes after another. What is no version of ours is older than any that is."""
    return _numbers(version) > _numbers(than)


def _numbers(version: str) -> list[int]:
    try:
        return [int(part) for part in version.split(".")]
    except ValueError:
        return []
