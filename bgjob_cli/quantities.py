"""Durations and sizes as people write them: `1h30m`, `250ms`, `64MiB`, `20MB`. Pure; parsing is strict.

Anything that is not exactly of the form is a ValueError that quotes the value and says what is accepted; it never
becomes a default.
"""

import re

__all__ = ["format_count", "format_duration", "format_size", "parse_duration", "parse_size"]

_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_LONGEST_S = 100 * 365 * 86400.0  # beyond a century it is a typing error, and it would overflow timers

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)(?: ?([A-Za-z]+))?")
_BYTES = {"": 1, "b": 1}
_BYTES |= {f"{prefix}b": 1000**power for power, prefix in enumerate("kmgt", 1)}
_BYTES |= {f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgt", 1)}
_LARGEST_BYTES = 1 << 60


def parse_duration(text: str) -> float:
    """Return the seconds in `text`: `90s`, `5m`, `1h30m`, `250ms`, `7d`; a bare number is seconds.

    Raises:
        ValueError: it is not a duration, units repeat or grow, or it is over a hundred years.
    """
    seconds = float(text) if _NUMBER.fullmatch(text) else _sum_of_parts(text)
    if seconds > _LONGEST_S:
        raise ValueError(f"cannot use {text!r} as a duration: it is longer than a hundred years")
    return seconds


def _sum_of_parts(text: str) -> float:
    """Return the seconds in a sequence of number and unit, largest unit first."""
    total, position, last = 0.0, 0, float("inf")
    while position < len(text) or not text:
        part = _DURATION_PART.match(text, position)
        if part is None or _SECONDS[part[2]] >= last:
            raise ValueError(f"cannot read {text!r} as a duration: write it like 90s, 5m, 1h30m, 250ms or 7d")
        last = _SECONDS[part[2]]
        total += float(part[1]) * last
        position = part.end()
    return total


def parse_size(text: str) -> int:
    """Return the bytes in `text`: `64MiB` (powers of 1024), `20MB` (powers of 1000), or a number of bytes.

    Raises:
        ValueError: it is not a size; also for `20M`, which means one thing here and another there.
    """
    match = _SIZE.fullmatch(text)
    factor = _BYTES.get((match[2] or "").lower()) if match else None
    if match is None or factor is None:
        raise ValueError(f"cannot read {text!r} as a size: write it like 64MiB, 20MB or 1048576")
    size = float(match[1]) * factor if "." in match[1] else int(match[1]) * factor
    if size != int(size):
        raise ValueError(f"cannot use {text!r} as a size: it is not a whole number of bytes")
    if size > _LARGEST_BYTES:
        raise ValueError(f"cannot use {text!r} as a size: the largest is 1024 PiB")
    return int(size)


def format_duration(seconds: float) -> str:
    """Return a duration in at most two units: `12ms`, `3.2s`, `5s`, `47s`, `3m12s`, `2h05m`, `4d03h`."""
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02}h"


def format_size(size: int) -> str:
    """Return a size in powers of 1024 with three significant digits: `0 B`, `1.50 KiB`, `64.0 MiB`, `120 GiB`."""
    if size < 1024:
        return f"{size} B"
    value, units = size / 1024, iter(("KiB", "MiB", "GiB", "TiB", "PiB"))
    unit = next(units)
    while value >= 999.5 and (larger := next(units, "")):
        value, unit = value / 1024, larger
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f} {unit}"


def format_count(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: `1 byte`, `1,234 bytes`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
