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
_SEGMENT_NAME_LENGTH = len(f"{0:016x}.log")


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

    Safe while the log is being written and its middle dropped: a segment that goes away meanwhile is left out, and the
    end never goes backwards from one call to the next.
    """
    while True:
        starts = _listed_starts(log_dir)
        # The newest first: when it is gone already, the log has moved on by whole segments and the list is too old.
        found = [segment for start in reversed(starts) if (segment := _find_segment(log_dir, start))]
        if not starts or (found and found[0].start == starts[-1]):
            return _with_missed(log_dir, found[::-1])


def _listed_starts(log_dir: str) -> list[int]:
    """Return the start offsets of the segments, ascending."""
    try:
        names = os.listdir(log_dir)
    except FileNotFoundError:
        return []
    starts = []
    for name in names:
        if len(name) == _SEGMENT_NAME_LENGTH and name.endswith(".log"):
            try:
                starts.append(int(name[:16], 16))
            except ValueError:
                continue  # not ours
    starts.sort()
    return starts


def _find_segment(log_dir: str, start: int) -> Segment | None:
    """Return the segment that starts at `start`, None when it does not exist (any more)."""
    try:
        return Segment(start, start + os.stat(f"{log_dir}/{segment_name(start)}").st_size)
    except FileNotFoundError:
        return None


def _with_missed(log_dir: str, segments: list[Segment]) -> list[Segment]:
    """Add what the listing missed: POSIX readdir may leave out a name that is created while it runs.

    Segments are contiguous, so a hole is a dropped segment only if there is no file that starts where it starts.
    """
    whole: list[Segment] = []
    for segment in segments:
        while whole and whole[-1].end < segment.start:
            missed = _find_segment(log_dir, whole[-1].end)
            if missed is None or missed.end == missed.start:
                break
            whole.append(missed)
        whole.append(segment)
    return whole


def log_end(log_dir: str) -> int:
    """Return the absolute offset after the last byte; 0 for an empty log."""
    segments = list_segments(log_dir)
    return segments[-1].end if segments else 0
