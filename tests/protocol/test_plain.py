"""`tail --plain`: a line as a terminal would show it in the end."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgjobd.plain import place_with_codes, plain_line, without_codes

COLOURED = b"\x1b[1;31merror\x1b[0m: no"


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"hello", "hello"),
        (COLOURED, "error: no"),
        (b"10%\r50%\r100%", "100%"),
        (b"100 percent\rdone\x1b[K", "done"),
        (b"abc\rX", "Xbc"),
        (b"abc\b\bX", "aXc"),
        (b"a\tb", "a       b"),
        (b"\x1b]0;title\x07text", "text"),
        (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"abc\x1b[2Kdef", "   def"),
        (b"abcdef\x1b[3D\x1b[K", "abc"),
        (b"abcdef\x1b[1GX", "Xbcdef"),
        (b"ab\x1b[3Ccd", "ab   cd"),
        (b"caf\xc3\xa9 \xff", "café \ufffd"),
        (b"text\r", "text"),
        (b"\x1b[?25lhidden cursor\x1b[?25h", "hidden cursor"),
        (b"\x1b(Bcharset", "charset"),
        (b"abcdef\r\x1b[2Pxy", "xyef"),
        (b"bell\x07", "bell"),
        (b"\x1b[999999999999Cx", " " * 10000 + "x"),
    ],
)
def test_a_line_is_shown_as_it_looked_in_the_end(data: bytes, shown: str) -> None:
    assert plain_line(data) == shown


@given(st.binary(max_size=300))
def test_no_control_character_is_left_of_any_bytes(data: bytes) -> None:
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in plain_line(data))


def test_a_long_progress_line_takes_time_in_proportion_to_its_length() -> None:
    """Ten thousand redraws of a bar: quadratic work would not end within the test's deadline."""
    line = b"\r".join(b"%5d %s" % (number, os.urandom(20).hex().encode()) for number in range(10_000))
    assert plain_line(line).startswith(" 9999 ")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("plain, with a\ttab", "plain, with a\ttab"),
        ("\x1b[32m->\x1b[39m  \x1b[1mLocal\x1b[22m:", "->  Local:"),
        ("\x1b]0;a title\x07text \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "text link"),
        ("10%\r20%\x1b[K\r30%", "10%\r20%\r30%"),
        ("\x1b(Bcharset\x1b7", "charset"),
        ("\x1b[31", "\x1b[31"),
        ("\x1b]0;not over\nnext", "\x1b]0;not over\nnext"),
    ],
)
def test_without_codes_nothing_but_whole_escape_sequences_is_left_out(text: str, left: str) -> None:
    assert without_codes(text) == left


@given(st.lists(st.sampled_from(["a", "é", "\x1b[31m", "\x1b]0;t\x07", "\r", "\x1b7"]), max_size=20))
def test_each_place_without_codes_is_found_again_with_them(parts: list[str]) -> None:
    text = "".join(parts)
    for place, character in enumerate(without_codes(text)):
        assert text[place_with_codes(text, place)] == character
