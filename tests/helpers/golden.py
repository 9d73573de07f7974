"""The frames that a release writes: one example of every message with every field set.

    python -m tests.helpers.golden                 # adds the frames of messages that are new, or have new fields
    python -m tests.helpers.golden --unreleased    # the same, and replaces those of this version: until it is released

`tests/protocol/test_golden.py` says what has to hold of them for ever.
"""

import enum
import hashlib
import json
import sys
import types
import typing
from pathlib import Path

import msgspec

from bgjobd import protocol
from bgjobd.protocol import Answer, AnswerKind, Call, Cancel, ErrorBody, Hello, Request, StreamRequest
from bgjobd.version import VERSION
from bgjobd.wire import encode_frame

GOLDEN = Path(__file__).parents[1] / "protocol" / "golden"
DIGESTS, ENUMS = "SHA256SUMS", "enums.json"
CALL_ID = 7
encode = msgspec.msgpack.encode


def request_types():
    """Return every request, by its op."""
    return {
        kind.op: kind
        for kind in vars(protocol).values()
        if isinstance(kind, type)
        and issubclass(kind, (Request, StreamRequest))
        and isinstance(getattr(kind, "op", None), str)
    }


def enum_types():
    """Return every enumeration of the protocol, and the error codes, by name."""
    kinds = [kind for kind in vars(protocol).values() if isinstance(kind, type) and issubclass(kind, enum.StrEnum)]
    return {kind.__name__: kind for kind in kinds if kind is not enum.StrEnum}


def example(kind, name=""):
    """Return a value of a type: for a struct one with every field set to what is not its default."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return example(next(argument for argument in arguments if argument is not type(None)), name)
    if origin is list:
        return [example(arguments[0], name)]
    if origin is dict:
        return {example(arguments[0], name): example(arguments[1], name)}
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return list(kind)[-1]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        fields = msgspec.structs.fields(kind)
        return kind(**{field.name: _not(field.default, example(field.type, field.name)) for field in fields})
    return {bool: True, int: 70_000, float: 1.5, str: name or "text", bytes: b"\xff" + name.encode()}.get(kind, name)


def _not(default, value):
    if value != default:
        return value
    return (not value) if isinstance(value, bool) else next(iter(type(value)))


def frames():
    """Return every frame of the protocol as this version writes it, by the name of its file."""
    found = {"hello": Hello, "call-cancel": Cancel, "error": ErrorBody}
    for op, kind in request_types().items():
        found |= {f"call-{op}": kind, f"reply-{op}": kind.reply}
        if issubclass(kind, StreamRequest):
            found[f"item-{op}"] = kind.item
    return {name: encode_frame(encode(_in_envelope(name, example(kind)))) for name, kind in found.items()}


def _in_envelope(name, body):
    what, _, op = name.partition("-")
    if what == "hello":
        return body
    raw = msgspec.Raw(encode(body))
    return Call(CALL_ID, op, raw) if what == "call" else Answer(CALL_ID, AnswerKind(what), raw)


def missing():
    """Return the frames that no release has written so far, by name."""
    known = {(path.stem, path.read_bytes()) for path in GOLDEN.glob("*/*.msgpack")}
    return {name: frame for name, frame in frames().items() if (name, frame) not in known}


def main(*, unreleased):
    folder = GOLDEN / VERSION
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in missing().items():
        path = folder / f"{name}.msgpack"
        if path.exists() and not unreleased:
            sys.exit(f"{path.name} of {VERSION} is released and never changes: raise the version, or say --unreleased")
        path.write_bytes(frame)
    digests = [(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in sorted(folder.glob("*.msgpack"))]
    (folder / DIGESTS).write_text("".join(f"{digest}  {name}\n" for name, digest in digests))
    values = {name: [member.value for member in kind] for name, kind in sorted(enum_types().items())}
    (folder / ENUMS).write_text(json.dumps(values, indent=2) + "\n")


if __name__ == "__main__":
    main(unreleased="--unreleased" in sys.argv)
