"""Text from jobs made safe and measurable for a terminal: control characters escaped, widths counted. Pure.

Names, commands and error texts come from anybody. Printed as they are they could move the cursor, set the window's
title or reorder a line, so everything shown to people passes `printable` first. Output of jobs does not: it is data.
"""

import unicodedata
from collections.abc import Iterator

__all__ = ["cut", "display_width", "pad", "printable", "wrapped"]

_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\x1b": "\\e"}
# Cc: control; Cf: format, among them the bidirectional overrides; Cs: undecodable bytes; Zl/Zp: line separators.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_ZERO_WIDTH = frozenset({"Mn", "Me", "Cf"})


def printable(text: str) -> str:
    """Return `text` on one line, with every character that a terminal would act on as a visible escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(character if character == " " else _visible(character) for character in text)


def _visible(character: str) -> str:
    """Return the character, or its escape: `\\n`, `\\e`, `\\x07`, `\\u202e`."""
    if unicodedata.category(character) not in _UNSAFE:
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as surrogateescape carries it
        return f"\\x{code - 0xDC00:02x}"
    return _SHORT_ESCAPES.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def display_width(text: str) -> int:
    """Return how many columns `text` takes on a terminal; wide characters take two (Unicode TR 11)."""
    return len(text) if text.isascii() else sum(map(_character_width, text))


def _character_width(character: str) -> int:
    if unicodedata.category(character) in _ZERO_WIDTH:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, width: int) -> str:
    """Return `text` in at most `width` columns; what was cut off is marked by an ellipsis."""
    if display_width(text) <= width:
        return text
    if width < 1:
        return ""
    used, kept = 0, 0
    for character in text:
        used += _character_width(character)
        if used > width - 1:
            break
        kept += 1
    return text[:kept] + "…"


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Return `text` filled with spaces to `width` columns, on its left when it is aligned to the right."""
    fill = " " * (width - display_width(text))
    return fill + text if right else text + fill


def wrapped(text: str, width: int | None) -> Iterator[str]:
    """Return a list such as `4242 sh (SIGTERM), 4243 sleep (SIGTERM)` in lines that fit, broken behind commas."""
    line = ""
    for part in text.split(", "):
        joined = f"{line}, {part}" if line else part
        if line and width is not None and display_width(joined) >= width:
            yield f"{line},"
            joined = part
        line = joined
    yield line
