"""Framing: whatever way the bytes are cut, the same frames; and bounded memory, whatever the bytes are."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.wire import MAX_FRAME_BYTES, FrameDecoder, encode_frame

PAYLOADS = st.lists(st.binary(max_size=300), max_size=8)


@given(payloads=PAYLOADS, cuts=st.lists(st.integers(0, 3000)))
def test_frames_come_out_as_they_went_in_wherever_the_stream_is_cut(payloads, cuts):
    stream = b"".join(map(encode_frame, payloads))
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    decoder = FrameDecoder()
    found = [frame for start, end in pairwise(edges) for frame in decoder.feed(stream[start:end])]
    assert found == payloads
    assert decoder.pending_bytes == 0


def test_a_stream_that_comes_byte_by_byte_is_understood():
    payloads = [b"", b"x", b"y" * 300]
    decoder, found = FrameDecoder(), []
    for byte in b"".join(map(encode_frame, payloads)):
        found += decoder.feed(bytes((byte,)))
    assert found == payloads


@given(payload=st.binary(max_size=50), missing=st.integers(1, 54))
def test_a_frame_is_given_out_only_when_it_is_whole(payload, missing):
    decoder, frame = FrameDecoder(), encode_frame(payload)
    missing = min(missing, len(frame))
    assert decoder.feed(frame[:-missing]) == []
    assert decoder.pending_bytes == len(frame) - missing
    assert decoder.feed(frame[-missing:]) == [payload]


@given(junk=st.binary(min_size=4, max_size=200))
def test_any_bytes_are_frames_or_an_error_and_never_more_memory_than_a_frame(junk):
    decoder, frames, position = FrameDecoder(), [], 0
    while position + 4 <= len(junk):  # what it has to do, step by step
        size = int.from_bytes(junk[position : position + 4], "big")
        if size > MAX_FRAME_BYTES:
            with pytest.raises(BgjobError) as caught:
                decoder.feed(junk)
            assert caught.value.code is ErrorCode.FRAME_TOO_LARGE
            return
        if position + 4 + size > len(junk):
            break
        frames.append(junk[position + 4 : position + 4 + size])
        position += 4 + size
    assert decoder.feed(junk) == frames
    assert decoder.pending_bytes == len(junk) - position


def test_the_largest_frame_passes_and_one_byte_more_does_not():
    payload = bytes(MAX_FRAME_BYTES)
    decoder = FrameDecoder()
    [frame] = decoder.feed(encode_frame(payload))
    assert len(frame) == MAX_FRAME_BYTES
    with pytest.raises(BgjobError) as caught:
        encode_frame(payload + b"x")
    assert caught.value.code is ErrorCode.FRAME_TOO_LARGE


def test_a_frame_too_large_is_refused_by_its_header_alone():
    with pytest.raises(BgjobError) as caught:
        FrameDecoder().feed((MAX_FRAME_BYTES + 1).to_bytes(4, "big"))
    assert caught.value.code is ErrorCode.FRAME_TOO_LARGE


def test_frames_do_not_share_memory_with_what_comes_later():
    decoder = FrameDecoder()
    chunk = bytearray(encode_frame(b"first"))
    [frame] = decoder.feed(memoryview(chunk))
    chunk[:] = bytes(len(chunk))
    decoder.feed(b"\0\0\0\1")
    assert frame == b"first"
