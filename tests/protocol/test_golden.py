"""What a release wrote is understood for ever: frames of every release stay in the tree, and never change."""

import hashlib
import json
from pathlib import Path

import msgspec
import pytest

from bgjobd.protocol import Answer, Call, Cancel, ErrorBody, Hello
from bgjobd.wire import FrameDecoder, encode_frame
from tests.helpers.golden import DIGESTS, ENUMS, GOLDEN, encode, enum_types, missing, request_types

FRAMES = sorted(GOLDEN.glob("*/*.msgpack"))
RELEASES = sorted(folder for folder in GOLDEN.iterdir() if folder.is_dir())


def decode(frame: bytes, name: str):
    """Return the message in a frame, and the frame that this version writes for the same message."""
    [payload] = FrameDecoder().feed(frame)
    what, _, op = name.partition("-")
    if what == "hello":
        message = msgspec.msgpack.decode(payload, type=Hello)
        return message, encode_frame(encode(message))
    envelope = msgspec.msgpack.decode(payload, type=Call if what == "call" else Answer)
    message = msgspec.msgpack.decode(envelope.body, type=body_type(what, op))
    again = msgspec.structs.replace(envelope, body=msgspec.Raw(encode(message)))
    return message, encode_frame(encode(again))


def body_type(what: str, op: str):
    if what == "error":
        return ErrorBody
    if op == Cancel.op:
        return Cancel
    kind = request_types()[op]
    return {"call": kind, "reply": kind.reply, "item": getattr(kind, "item", None)}[what]


def identify(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@pytest.mark.parametrize("path", FRAMES, ids=identify)
def test_a_frame_of_any_release_is_understood_with_every_field(path):
    frame = path.read_bytes()
    _, again = decode(frame, path.stem)
    # byte for byte: a field that was renamed or dropped, or whose meaning changed its type, would be missing
    assert again == frame


@pytest.mark.parametrize("folder", RELEASES, ids=lambda folder: folder.name)
def test_no_frame_of_a_release_was_ever_changed(folder):
    lines = (folder / DIGESTS).read_text().splitlines()
    recorded = dict(reversed(line.split("  ")) for line in lines)
    present = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.msgpack")}
    assert present == recorded


@pytest.mark.parametrize("folder", RELEASES, ids=lambda folder: folder.name)
def test_no_value_of_an_enumeration_was_ever_taken_away(folder):
    for name, values in json.loads((folder / ENUMS).read_text()).items():
        assert set(values) <= {member.value for member in enum_types()[name]}, name


def test_every_message_has_a_frame_with_every_field():
    assert not missing().keys(), "run: python -m tests.helpers.golden"


@pytest.mark.parametrize("path", FRAMES, ids=identify)
def test_fields_of_the_future_are_ignored(path):
    frame = path.read_bytes()
    [payload] = FrameDecoder().feed(frame)
    content = msgspec.msgpack.decode(payload)
    body = content if isinstance(content, dict) else content[-1]
    body["from_the_future"] = {"nested": [1, 2, 3]}
    message, _ = decode(frame, path.stem)
    assert decode(encode_frame(encode(content)), path.stem)[0] == message
