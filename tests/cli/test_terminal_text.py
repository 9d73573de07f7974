"""Text from anybody, made safe for a terminal and measured."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgjob_cli.terminal_text import cut, display_width, pad, printable, wrapped


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("make -j8", "make -j8"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x1b]0;owned\x07", "\\e]0;owned\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("abc\u202edcba", "abc\\u202edcba"),
        ("\udcff", "\\xff"),
        ("größer 日本 🎉", "größer 日本 🎉"),
        ("a\u2028b", "a\\u2028b"),
    ],
)
def test_what_a_terminal_would_act_on_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_nothing_printed_has_control_characters(text: str) -> None:
    shown = printable(text)
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in shown)
    assert "\n" not in shown


def test_wide_characters_take_two_columns_and_marks_none() -> None:
    assert display_width("日本") == 4
    assert display_width("e\u0301") == 1
    assert display_width("ab") == 2


@given(st.text(alphabet=st.sampled_from("abc日本🎉e\u0301")), st.integers(min_value=0, max_value=12))
def test_what_is_cut_fits(text: str, width: int) -> None:
    assert display_width(cut(text, width)) <= width


def test_a_cut_is_marked_and_a_fitting_text_is_not() -> None:
    assert cut("abcdef", 4) == "abc…"
    assert cut("abcd", 4) == "abcd"
    assert cut("日本語", 4) == "日…"


def test_padding_counts_columns() -> None:
    assert pad("日", 4) == "日  "
    assert pad("7", 3, right=True) == "  7"


def test_a_list_is_broken_behind_commas() -> None:
    text = "killed 2 processes: 10 sh (SIGTERM, SIGKILL), 11 sleep (SIGTERM)"
    assert list(wrapped(text, None)) == [text]
    assert list(wrapped(text, 50)) == ["killed 2 processes: 10 sh (SIGTERM, SIGKILL),", "11 sleep (SIGTERM)"]
    assert list(wrapped("x" * 60, 50)) == ["x" * 60]
