"""What a terminal would show, and the bytes each piece stands for."""

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bgjob_mcp.render.pieces import Gap, GapReason, Item, Piece, Stretch
from bgjob_mcp.render.terminal import held_back, resolve, resolve_raw
from bgjob_mcp.render.text import write_items

START = 1000


def resolved(data: bytes) -> list[Item]:
    items = resolve(Stretch([(START, data)]))
    assert_covers(items, data)
    return items


def assert_covers(items: list[Item], data: bytes) -> None:
    """The pieces and gaps, in order, stand for every byte once."""
    cursor = START
    for item in items:
        assert item.start == cursor
        assert item.end - item.start == item.size > 0
        cursor = item.end
    assert cursor == START + len(data)


def shown(data: bytes) -> str:
    return write_items(resolved(data))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"one\ntwo\n", "one\ntwo\n"),
        (b"no newline", "no newline"),
        (b"dos\r\nlines\r\n", "dos\nlines\n"),
        (b"\x1b[1;32mok\x1b[0m \x1b[38;5;196mred\x1b[m\n", "ok red\n"),
        (b"caf\xc3\xa9 20\xc2\xb0 \xff\xfe\n", "café 20° \ufffd\ufffd\n"),
        (b"\x1b]0;a title\x07text\n", "text\n"),
        (b"\x1b]8;;http://x.test\x1b\\a link\x1b]8;;\x1b\\\n", "a link\n"),
        (b"\x1b]0;never ended\n", "0;never ended\n"),
        (b"bell\x07 nul\x00 c1\xc2\x9b end\n", "bell nul c1 end\n"),
        (b" 1%\r 50%\r100%\n", "100%\n"),
        (b"downloading 10 of 100\rdone\n", "doneloading 10 of 100\n"),
        (b"downloading 10 of 100\rdone\x1b[K\n", "done\n"),
        (b"downloading\r\x1b[2Kdone\n", "done\n"),
        (b"12%\r", "12%"),
        (b"spin |\x08/\x08-\x08 ok\n", "spin  ok\n"),
        (b"a1\nb1\n\x1b[2A\x1b[2Ka2\n\x1b[2Kb2\nend\n", "a2\nb2\nend\n"),
        (b"kept\nx\n\x1b[1Ay\x1b[B\rz\n", "kept\ny\nz\n"),
        (b"\x1b7saved\x1b8S\n", "Saved\n"),
        (b"abcdef\x1b[3D\x1b[2P\n", "abcf\n"),
        (b"abcdef\x1b[3D\x1b[2@\n", "abc  def\n"),
        (b"abcdef\x1b[4D\x1b[2X\n", "ab  ef\n"),
    ],
)
def test_text_is_what_a_terminal_shows(data: bytes, text: str) -> None:
    assert shown(data) == text


def test_screens_that_replace_each_other_leave_the_last_one_and_a_gap() -> None:
    frames = b"".join(b"\x1b[H\x1b[2Jframe %d\nrest\n" % number for number in range(3))
    items = resolved(b"before\n" + frames)
    assert [item.text if isinstance(item, Piece) else item.reason for item in items] == [
        "before",
        GapReason.CLEARED,
        "frame 2",
        "rest",
    ]
    assert f"{items[1].size} bytes of screens" in write_items(items)


def test_a_screen_that_is_cleared_once_keeps_what_was_before() -> None:
    assert shown(b"Step 1 ok\n\x1b[H\x1b[2J\x1b[3JStep 2 ok\n") == "Step 1 ok\nStep 2 ok\n"


def test_identical_lines_are_folded_and_counted() -> None:
    items = resolved(b"x\n" + b"same\n" * 1243 + b"y\n")
    assert write_items(items) == "x\nsame  [× 1,243 from cursor 1002]\ny\n"
    assert items[1].size == 1243 * 5


def test_lines_that_look_the_same_are_folded_whatever_colour_they_had() -> None:
    assert shown(b"\x1b[31mwait\x1b[0m\nwait\nwait\n\x1b[32mwait\x1b[0m\n") == "wait  [× 4 from cursor 1000]\n"


def test_a_few_identical_lines_are_written_out() -> None:
    assert shown(b"a\na\na\nb\n") == "a\na\na\nb\n"


def test_raw_is_what_was_written() -> None:
    data = b"\x1b[31ma\x1b[0m\r\n50%\r100%\n" + b"same\n" * 5 + b"\xff"
    items = resolve_raw(Stretch([(START, data)]))
    assert_covers(items, data)
    assert write_items(items) == data[:-1].decode() + "\\xff"


def test_a_long_line_is_in_parts_that_cut_no_character_and_no_code() -> None:
    data = ("é" * 3000 + "\x1b[31m" + "ü" * 5000).encode() + b"\n"
    items = resolved(data)
    assert len(items) > 2
    assert write_items(items) == "é" * 3000 + "ü" * 5000 + "\n"


def test_cursors_of_one_stream_step_over_the_other() -> None:
    stretch = Stretch([(0, b"one\ntw"), (100, b"o\nthree\n")])
    items = resolve(stretch)
    assert [(item.start, item.end, item.size) for item in items] == [(0, 4, 4), (4, 102, 4), (102, 108, 6)]


@pytest.mark.parametrize(
    ("data", "count"),
    [
        (b"", 0),
        (b"plain", 0),
        ("é".encode(), 0),
        ("é".encode()[:1], 1),
        ("€".encode()[:2], 2),
        ("😀".encode()[:3], 3),
        (b"\xff", 1),
        (b"\x80\x80\x80\x80", 0),
        (b"x\x1b", 1),
        (b"x\x1b[", 2),
        (b"x\x1b[31", 4),
        (b"x\x1b[31m", 0),
        (b"x\x1b]0;title", 9),
        (b"x\x1b]0;title\x07", 0),
        (b"x\x1b]0;" + b"t" * 1000, 0),
    ],
)
def test_what_is_not_complete_is_held_back(data: bytes, count: int) -> None:
    assert held_back(data) == count


SIZE = 500_000


@pytest.mark.parametrize(
    "data",
    [
        b"\x1b[9999C" * (SIZE // 7),
        b"\x1b[9999Cx" * (SIZE // 8),
        b"x\x1b[C" * (SIZE // 4),
        b"x\x1b[9999@" * (SIZE // 8),
        b"a" * (SIZE // 2) + b"\rx" * (SIZE // 4),
        b"\x1b[200A\n" * (SIZE // 7),
        b"".join(b"%d" % n + b"z" * 3000 + b"\n" for n in range(50)) + b"\x1b[200A\n" * (SIZE // 7),
        b"\x1bE" * (SIZE // 2),
        b"\x1b[H\x1b[2J" * (SIZE // 7),
        b"\x1b]" * (SIZE // 2),
        b"\x1b[" + b"1;" * (SIZE // 2),
        b"\x1b" * SIZE,
        b"x" * SIZE + b"\x08" * 10,
    ],
    ids=lambda data: repr(data[:12]),
)
def test_output_that_is_made_to_keep_us_busy_does_not(data: bytes) -> None:
    items = resolved(data)
    assert sum(len(item.text) for item in items if isinstance(item, Piece)) <= 3 * len(data)


# --- properties ------------------------------------------------------------------------------------------------------

PLAIN = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=12)
SEQUENCES = ["31m", "K", "2K", "1K", "A", "2A", "3C", "2D", "5G", "J", "2P", "2@", "3X", "F"]
MORE_SEQUENCES = ["B", "E", "H", "2;3H", "2J", "?1049h", "?1049l", ""]
MOVEMENT = ["\r", "\n", "\n", "\b", *(f"\x1b[{code}" for code in SEQUENCES)]
OTHER = ["\x1b7", "\x1b8", "\x1bc", "\x1bM", "\x00", "\x1b", "\x1b]0;t\x07"]
CODES = st.sampled_from([*MOVEMENT, *OTHER, *(f"\x1b[{code}" for code in MORE_SEQUENCES)])
TERMINAL_OUTPUT = st.lists(st.one_of(PLAIN, CODES), max_size=40).map("".join)


@given(TERMINAL_OUTPUT)
@settings(max_examples=400, deadline=None)
def test_pieces_and_gaps_cover_whatever_was_written(text: str) -> None:
    resolved(text.encode())


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_pieces_cover_bytes_that_are_no_text(data: bytes) -> None:
    resolved(data)
    assert_covers(resolve_raw(Stretch([(START, data)])), data)


@given(st.lists(st.text("ab€ ", max_size=6), max_size=30))
def test_plain_text_reads_back_as_it_was(lines: list[str]) -> None:
    text = "\n".join(lines)
    pieces = [item for item in resolved(text.encode()) if isinstance(item, Piece)]
    again = "".join((piece.text + ("\n" if piece.ended else "")) * piece.times for piece in pieces)
    assert again == text


ROWS, COLUMNS = 50, 200
WORDS = st.text("abcXYZ12%#", min_size=1, max_size=12)


@pytest.mark.slow
@given(st.lists(st.one_of(WORDS, st.sampled_from(MOVEMENT)), max_size=40).map("".join))
@settings(max_examples=400, deadline=None)
def test_lines_are_those_of_a_full_terminal(text: str) -> None:
    screen = pyte.Screen(COLUMNS, ROWS)
    screen.set_mode(pyte.modes.LNM)  # a newline goes to the first column, as the terminal driver makes it
    pyte.Stream(screen).feed(text)
    expected = [row.rstrip() for row in screen.display]
    data = text.encode()
    lines = [line.rstrip() for line in write_unfolded(resolved(data)).split("\n")]
    assert lines + [""] * (ROWS - len(lines)) == expected


def write_unfolded(items: list[Item]) -> str:
    assert not any(isinstance(item, Gap) for item in items)
    return "".join((item.text + ("\n" if item.ended else "")) * item.times for item in items if isinstance(item, Piece))
