"""From pieces of output to lines: rules of `bgjobd.model.lines`."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bgjobd.model.lines import LineSplitter


def lines_of(batches):
    """Return [(number, cursor, line)]; a long line's pieces are put together again."""
    found = {}
    for batch in batches:
        cursor = batch.line_cursor
        for number, line in enumerate(batch.data.split(b"\n"), batch.line_number):
            before = found.get(number, (cursor, b""))[1]
            assert len(before) >= batch.column, "a piece is missing"
            found[number] = (cursor, before[: batch.column] + line)
            cursor += len(line) + 1
    return [(number, *found[number]) for number in sorted(found)]


@given(
    data=st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\r\n", b"\xff" * 9, b""]), max_size=60).map(b"".join),
    cuts=st.lists(st.integers(0, 200)),
    max_line_bytes=st.integers(2, 20),
)
def test_however_it_is_cut_the_lines_are_the_same(data, cuts, max_line_bytes):
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    splitter, batches = LineSplitter(max_line_bytes), []
    for start, end in pairwise(edges):
        batches += splitter.feed(start, data[start:end])
    batches += splitter.finish()
    expected, cursor = [], 0
    for number, line in enumerate(data.split(b"\n"), 1):
        expected.append((number, cursor, line))
        cursor += len(line) + 1
    if not expected[-1][2]:
        expected.pop()  # nothing follows the last newline
    assert lines_of(batches) == expected
    assert all(len(batch.data) <= max_line_bytes for batch in batches if batch.unfinished or batch.column)


def test_a_line_of_one_stream_goes_on_after_the_other_streams_bytes():
    splitter = LineSplitter()
    assert splitter.feed(0, b"out ") == []
    batches = splitter.feed(100, b"goes on\nnext\npending")
    assert [(number, cursor, line) for number, cursor, line in lines_of(batches)] == [
        (1, 0, b"out goes on"),
        (2, 108, b"next"),
    ]
    assert lines_of(splitter.finish()) == [(3, 113, b"pending")]
    assert splitter.finish() == []


def test_pieces_of_a_long_line_overlap():
    splitter = LineSplitter(max_line_bytes=10)
    pieces = splitter.feed(0, bytes(range(65, 90))) + splitter.finish()
    assert [(piece.column, piece.data, piece.unfinished) for piece in pieces] == [
        (0, b"ABCDEFGHIJ", True),
        (5, b"FGHIJKLMNO", True),
        (10, b"KLMNOPQRST", True),
        (15, b"PQRSTUVWXY", False),
    ]
