"""Prints SIZE bytes, none like the ones before: every 64 KiB block begins with its number. Then exits with 0.

    pattern.py SIZE

The same bytes as `blocks(SIZE)`, so that a reader can compare them without keeping them.
"""

import sys
from collections.abc import Iterator

BLOCK_BYTES = 1 << 16
_NUMBER_BYTES = 8
# All byte values, in a period that is no power of two: a shift by any block or page size shows.
_REST = (bytes(range(256)) * 257 + b"\n")[: BLOCK_BYTES - _NUMBER_BYTES]


def blocks(size: int) -> Iterator[bytes]:
    """Yield the bytes in order; the last block may be cut."""
    for number in range((size + BLOCK_BYTES - 1) // BLOCK_BYTES):
        yield (number.to_bytes(_NUMBER_BYTES, "big") + _REST)[: size - number * BLOCK_BYTES]


if __name__ == "__main__":
    for block in blocks(int(sys.argv[1])):
        sys.stdout.buffer.write(block)
    sys.stdout.buffer.flush()
