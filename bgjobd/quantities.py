"""Durations and sizes as people write them: `1h30m`, `250ms`, `64MiB`, `20MB`. Pure; parsing is strict.

Anything that is not exactly of the form is a ValueError that quotes the value and says what is accepted; it never
becomes a default.
"""

import re

__all__ = ["LONGEST_S", "parse_duration", "parse_size"]

LONGEST_S = 10 * 365 * 86_400.0  # ten years: beyond that it is a typing error, and it would overflow timers

_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)(?: ?([A-Za-z]+))?")
_BYTES = {"": 1, "b": 1}
_BYTES |= {f"{prefix}b": 1000**power for power, prefix in enumerate("kmgtp", 1)}
_BYTES |= {f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgtp", 1)}
_LARGEST_BYTES = 1 << 60


def parse_duration(text: str) -> float:
    """Return the seconds in `text`: `90s`, `5m`, `1h30m`, `250ms`, `7d`; a bare number is seconds.

    Raises:
        ValueError: it is not a duration, units repeat or grow, or it is over ten years.
    """
    seconds = float(text) if _NUMBER.fullmatch(text) else _sum_of_parts(text)
    if seconds > LONGEST_S:
        raise ValueError(f"cannot use {text!r} as a duration: it is longer than ten years")
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
