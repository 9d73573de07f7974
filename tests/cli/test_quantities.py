"""Durations and sizes: what is read, what is refused, and how they are shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgjob_cli.quantities import format_count, format_duration, format_size
from bgjobd.quantities import LONGEST_S, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90.0),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("1h30m", 5400.0),
        ("250ms", 0.25),
        ("1d12h", 129600.0),
        ("1h30m15s500ms", 5415.5),
        ("0.5s", 0.5),
        ("1.5h", 5400.0),
        ("30", 30.0),
        ("2.5", 2.5),
        ("0", 0.0),
        ("0s", 0.0),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "s",
        "5x",
        "5 m",
        "-5s",
        "+5s",
        "5m1h",
        "5s5s",
        "1h30",
        "1e3s",
        "٣s",
        "5M",
        "1h 30m",
        "inf",
        "nan",
        ".5s",
    ],
)
def test_what_is_not_a_duration_is_refused_and_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="duration") as error:
        parse_duration(text)
    assert repr(text) in str(error.value)


def test_a_duration_that_no_timer_can_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="ten years"):
        parse_duration("5000d")
    assert parse_duration("3650d") == LONGEST_S


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1048576", 1 << 20),
        ("64MiB", 64 << 20),
        ("20MB", 20_000_000),
        ("1.5KiB", 1536),
        ("1 GiB", 1 << 30),
        ("512B", 512),
        ("2kb", 2000),
        ("3tib", 3 << 40),
    ],
)
def test_a_size_is_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "20M", "64 ", "-1", "1.5", "0.3KiB", "1e6", "64MiBs", "٣", "5000PiB"])
def test_what_is_not_a_size_is_refused_and_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="size") as error:
        parse_size(text)
    assert repr(text) in str(error.value)


def test_a_size_beyond_all_disks_is_refused() -> None:
    with pytest.raises(ValueError, match="largest"):
        parse_size("99999999TiB")
    with pytest.raises(ValueError, match="largest"):
        parse_size("99999999PiB")


@given(st.integers(min_value=0, max_value=1 << 60))
def test_every_number_of_bytes_is_read_as_itself(size: int) -> None:
    assert parse_size(str(size)) == size


@given(st.floats(min_value=0, max_value=1e8))
def test_a_shown_duration_is_one_that_can_be_typed(seconds: float) -> None:
    shown = format_duration(seconds)
    assert parse_duration(shown) == pytest.approx(seconds, rel=0.06, abs=0.001)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"),
        (-1, "0ms"),
        (0.012, "12ms"),
        (0.9996, "1s"),
        (3.21, "3.2s"),
        (9.97, "10s"),
        (59.6, "1m"),
        (192, "3m12s"),
        (7500, "2h05m"),
        (7200, "2h"),
        (356400, "4d03h"),
        (30 * 86400, "30d"),
    ],
)
def test_a_duration_is_shown_in_two_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.50 KiB"),
        (64 << 20, "64.0 MiB"),
        (1023 << 10, "1.00 MiB"),
        (120 << 30, "120 GiB"),
        (5000 << 50, "5000 PiB"),
    ],
)
def test_a_size_is_shown_in_three_digits(size: int, text: str) -> None:
    assert format_size(size) == text


def test_a_count_has_its_noun_in_the_right_number() -> None:
    assert format_count(1, "byte") == "1 byte"
    assert format_count(1234567, "byte") == "1,234,567 bytes"
    assert format_count(2, "process", "processes") == "2 processes"
