"""The log of one job: segments of raw bytes and their index. The layout for readers, and the writer for runners.

    log/<start:016x>.log    raw bytes of the merged output from offset `start` on; `cat log/*.log` is the log
    log/<start:016x>.idx    16-byte little-endian records: u64 absolute offset | u64 (unix ns, low 3 bits: kind)

An index record is written before the bytes it describes, and only at a transition: another stream, or data in a new
time slot of 10 ms. Every segment's index starts with a record for its first byte. The stream of byte x is that of the
record with the greatest offset <= x. A crash between record and bytes leaves a run of length zero: harmless.

Offsets never move. When the cap is reached whole segments go from the middle: the first and the newest stay, and the
hole between the names and sizes of two neighbours is the exact gap. The end is the start of the last segment plus its
size: there is no other state, so nothing has to be recovered after a crash.
"""

import os
import struct

__all__ = [
    "DEFAULT_SEGMENT_BYTES",
    "INDEX_RECORD",
    "KIND_PTY",
    "KIND_STDERR",
    "KIND_STDOUT",
    "TIME_SLOT_NS",
    "Segment",
    "index_name",
    "list_segments",
    "log_end",
    "pack_index",
    "segment_bytes_for_cap",
    "segment_name",
    "unpack_index",
]

INDEX_RECORD = struct.Struct("<QQ")
KIND_STDOUT, KIND_STDERR, KIND_PTY = 0, 1, 2
_KIND_MASK = 7

TIME_SLOT_NS = 10_000_000  # measured: <= 100 records/s for a firehose, one per line for a slow job
DEFAULT_SEGMENT_BYTES = 8 << 20
_MIN_SEGMENT_BYTES = 64 << 10
_MAX_SEGMENT_BYTES = 64 << 20


def segment_bytes_for_cap(max_output_bytes: int) -> int:
    """Return the segment size for a cap: an eighth of it, within 64 KiB … 64 MiB."""
    return max(_MIN_SEGMENT_BYTES, min(_MAX_SEGMENT_BYTES, max_output_bytes // 8))


def segment_name(start: int) -> str:
    """Return the file name of the segment that starts at absolute offset `start`."""
    return f"{start:016x}.log"


def index_name(start: int) -> str:
    """Return the file name of that segment's index."""
    return f"{start:016x}.idx"


def pack_index(offset: int, time_ns: int, kind: int) -> bytes:
    """Return one index record."""
    return INDEX_RECORD.pack(offset, (time_ns & ~_KIND_MASK) | kind)


def unpack_index(data: bytes, position: int = 0) -> tuple[int, int, int]:
    """Return (offset, time in ns, kind) of the record at byte `position`."""
    offset, packed = INDEX_RECORD.unpack_from(data, position)
    return offset, packed & ~_KIND_MASK, packed & _KIND_MASK


class Segment:
    """One segment that exists: absolute offsets `start` up to, not including, `end`."""

    __slots__ = ("end", "start")

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.end = end

    def __repr__(self) -> str:
        return f"Segment({self.start}, {self.end})"


def list_segments(log_dir: str) -> list[Segment]:
    """Return the segments in `log_dir` in order; empty when there is no such directory.

    A segment that is deleted between listing and looking is left out: it was dropped.
    """
    segments = []
    try:
        names = os.listdir(log_dir)
    except FileNotFoundError:
        return []
    for name in names:
        stem, dot, suffix = name.partition(".")
        if suffix != "log" or len(stem) != 16 or not dot:
            continue
        try:
            start = int(stem, 16)
            size = os.stat(os.path.join(log_dir, name)).st_size
        except (ValueError, FileNotFoundError):
            continue
        segments.append(Segment(start, start + size))
    segments.sort(key=lambda segment: segment.start)
    return segments


def log_end(log_dir: str) -> int:
    """Return the absolute offset after the last byte; 0 for an empty log."""
    segments = list_segments(log_dir)
    return segments[-1].end if segments else 0
