"""Durations, sizes and numbers in words: `3m12s`, `64.0 MiB`, `1,234 bytes`. Pure."""

__all__ = ["format_count", "format_duration", "format_size"]


def format_duration(seconds: float) -> str:
    """Return a duration in at most two units: `12ms`, `3.2s`, `5s`, `47s`, `3m12s`, `2h05m`, `4d03h`, `30d`."""
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m" + _second(whole % 60, "s")
    if whole < 86400:
        return f"{whole // 3600}h" + _second(whole % 3600 // 60, "m")
    return f"{whole // 86400}d" + _second(whole % 86400 // 3600, "h")


def _second(number: int, unit: str) -> str:
    return f"{number:02}{unit}" if number else ""


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
