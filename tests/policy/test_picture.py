"""What a terminal shows of a log's end, and a painting of it that makes another terminal show the same."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bgjobd.model.picture import FEED_BYTES, draw, paint

ROWS, COLUMNS = 6, 20


def lines(data: bytes, rows: int = ROWS, columns: int = COLUMNS) -> list[str]:
    return draw(data, rows, columns).terminal.grid.text()


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"one\r\ntwo", ["one", "two"]),
        (b"\x1b[?1049h\x1b[Hfull screen\x1b[?1049lafter", ["after"]),
        (b"before\r\n\x1b[?1049h\x1b[2Jfull\x1b[?1049l", ["before"]),
        (b"\x1b(0lqk\x1b(B ok", ["┌─┐ ok"]),
        (b"\x1b)0\x0elqk\x0f ok", ["┌─┐ ok"]),
        # The character set was designated before the screen was cleared, from where on it is drawn.
        (b"\x1b)0start\x1b[H\x1b[2J\x0elqk\x0f ok", ["┌─┐ ok"]),
        (b"\x1b)0\x0e\x1b[H\x1b[2Jlqk\x0f ok", ["┌─┐ ok"]),
        (b"\x1b)0\x0e\x1bc\x1b[H\x1b[2Jlqk", ["lqk"]),
        ("日本 é e\u0301".encode(), ["日本 é e\u0301"]),
        (b"\x1b[2;4r\x1b[4;1Hx\r\ny\r\nz", ["", "x", "y", "z"]),
        (b"no \xff\xfe text", ["no \ufffd\ufffd text"]),
        (b"wraps at the twentieth column", ["wraps at the twentie", "th column"]),
    ],
)
def test_a_screen_is_what_a_terminal_shows(data: bytes, shown: list[str]) -> None:
    assert lines(data) == shown + [""] * (ROWS - len(shown))


@pytest.mark.parametrize(
    ("data", "then", "shown"),
    [
        (b"\x1b)0\x0e", b"lqk", ["┌─┐"]),
        (b"\x1b)0", b"\x0elqk\x0fx", ["┌─┐x"]),
        (b"\x1b[4h", b"\rab\rc", ["cab"]),
        (b"\x1b[2;3r\x1b[?6h", b"\x1b[1;1Hx", ["", "x"]),
        (b"\x1b[?7l", b"x" * 30, ["x" * 20]),
        (b"\x1b[5;5H", b"x", ["", "", "", "", "    x"]),
        (b"\x1b[31m", b"x", ["x"]),
    ],
)
def test_after_a_painting_output_goes_on_as_it_would_have(data: bytes, then: bytes, shown: list[str]) -> None:
    assert lines(data + then)[: len(shown)] == shown
    assert lines(paint(draw(data, ROWS, COLUMNS).terminal) + then)[: len(shown)] == shown


@pytest.mark.parametrize(
    "sequence",
    [b"\x1b[?1049h", b"\x1b[?2004h", b"\x1b[?1h", b"\x1b[?1002h", b"\x1b[?25l", b"\x1b=", b"\x1b[5 q", b"\x1b)0"],
)
def test_a_painting_sets_what_the_program_has_set(sequence: bytes) -> None:
    painted = paint(draw(sequence + b"\x1b[H\x1b[2Jtext", ROWS, COLUMNS).terminal)
    if sequence == b"\x1b[?25l":
        assert painted.rfind(b"\x1b[?25h") < painted.rfind(sequence)
    else:
        assert sequence in painted
    assert paint(draw(b"text", ROWS, COLUMNS).terminal).count(sequence) == (sequence == b"\x1b[?25l")


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=12)
SEQUENCES = st.sampled_from(
    ["\r\n", "\r", "\b", "\t", "\x1b[H", "\x1b[2J", "\x1b[K", "\x1b[3;5H", "\x1b[A", "\x1b[2C", "\x1b[7m", "\x1b[0m",
     "\x1b[1;34;47m", "\x1b[38;5;200m", "\x1b[48;2;1;2;3m", "\x1b[2;4r", "\x1b[r", "\x1b[?6h", "\x1b[?6l", "\x1b[?7l",
     "\x1b[?1049h", "\x1b[?1049l", "\x1b(0", "\x1b(B", "\x1b)0", "\x0e", "\x0f", "\x1b[L", "\x1b[2M", "\x1b[3P",
     "\x1b7", "\x1b8",
     "\x1bM", "\x1bD", "\x1b[2S", "\x1b[T", "\x1b[4h", "\x1b[4l", "\x1b[?25l", "\x1b[3 q", "\x1bc", "\x1b[!p"]
)  # fmt: skip
OUTPUT = st.lists(st.one_of(TEXT, SEQUENCES), max_size=40).map("".join)


def test_a_wide_character_that_is_half_pushed_out_at_the_margin_is_a_blank() -> None:
    terminal = draw(("x" * (COLUMNS - 2) + "ぁ\r\x1b[4h0").encode(), ROWS, COLUMNS).terminal
    assert terminal.grid.text()[0] == "0" + "x" * (COLUMNS - 2)
    assert draw(paint(terminal), ROWS, COLUMNS).terminal.grid.text() == terminal.grid.text()


@given(OUTPUT)
@settings(max_examples=150, deadline=None)
def test_a_painting_shows_what_was_painted(text: str) -> None:
    first = draw(text.encode(), ROWS, COLUMNS).terminal
    second = draw(paint(first), ROWS, COLUMNS).terminal
    assert second.grid.text() == first.grid.text()
    assert second.is_alternate == first.is_alternate
    assert second.caret_style == first.caret_style
    assert (second.grid.cursor.y, second.grid.cursor.hidden) == (first.grid.cursor.y, first.grid.cursor.hidden)
    assert second.grid.cursor.x == min(first.grid.cursor.x, COLUMNS - 1)
    assert [list(map(tuple, second.grid.cells(y))) for y in range(ROWS)] == [
        list(map(tuple, first.grid.cells(y))) for y in range(ROWS)
    ]


@given(st.binary(max_size=400))
@settings(max_examples=100, deadline=None)
def test_nothing_that_a_job_writes_can_raise(data: bytes) -> None:
    paint(draw(data, ROWS, COLUMNS).terminal)


@pytest.mark.soak
@pytest.mark.parametrize(
    "data",
    [
        b"\x1b(B\x1b[m" * (2 * FEED_BYTES // 6),
        b"\x1b[9999b" * (FEED_BYTES // 7),
        b"\x1b[2J\x1b[H" * (2 * FEED_BYTES // 7),
        b"x" * 4 * FEED_BYTES,
        b"\n" * 4 * FEED_BYTES,
        b"\x1b[" + b"1;" * FEED_BYTES,
    ],
    ids=lambda data: repr(data[:8]),
)
def test_output_that_is_made_to_keep_us_busy_does_not(data: bytes) -> None:
    paint(draw(data, 24, 80).terminal)
