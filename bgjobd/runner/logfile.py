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

import errno
import os
import struct

__all__ = [
    "DEFAULT_SEGMENT_BYTES",
    "INDEX_RECORD",
    "KIND_PTY",
    "KIND_STDERR",
    "KIND_STDOUT",
    "TIME_SLOT_NS",
    "LogWriter",
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
_MIN_SEGMENT_BYTES = 16 << 10  # head and newest: the smallest cap that can be kept is twice this
_MAX_SEGMENT_BYTES = 64 << 20
_SEGMENT_NAME_LENGTH = len(f"{0:016x}.log")


def segment_bytes_for_cap(max_output_bytes: int) -> int:
    """Return the segment size for a cap: an eighth of it, within 16 KiB … 64 MiB."""
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


class LogWriter:
    """Appends to a log, rolls its segments and keeps it within its cap. One writer: the holder of the job's lock.

    The bytes themselves are moved by the pump, straight into `fd`: it asks for `room`, announces them with `note`, and
    counts them in `end`. Index bytes count for the segment's size and for the cap, so that a job that alternates
    between its streams byte by byte fills no disk either.
    """

    __slots__ = (
        "_index_bytes",
        "_index_fd",
        "_kind",
        "_older",
        "_run_start",
        "_slot",
        "_start",
        "cap_bytes",
        "directory",
        "end",
        "fd",
        "segment_bytes",
    )

    def __init__(self) -> None:
        self.directory = ""
        self.cap_bytes = 0
        self.segment_bytes = 0
        self.end = 0  # absolute offset after the last byte
        self.fd = -1  # of the newest segment, positioned at its end; without O_APPEND, which splice refuses
        self._index_fd = -1
        self._index_bytes = 0
        self._start = 0  # of the newest segment
        self._older: list[tuple[int, int, int]] = []  # (start, bytes, index bytes) of the others, in order
        self._run_start = -1  # offset of the last index record
        self._kind = -1
        self._slot = -1

    def open(self, directory: str) -> None:
        """Continue after what is in the directory, or start at 0; creates the directory.

        Raises:
            OSError: the disk refused.
        """
        self.directory = directory
        if not os.access(directory, os.F_OK):  # no listing that fails: each exception makes memory a runner's own
            os.mkdir(directory, 0o700)
            self._create(0)
            return
        segments = list_segments(directory)
        if not segments:
            self._create(0)
            return
        for segment in segments[:-1]:
            self._older.append((segment.start, segment.end - segment.start, self._index_size(segment.start)))
        last = segments[-1]
        self._start, self.end = last.start, last.end
        self.fd, self._index_fd = self._open_files(last.start)
        os.lseek(self.fd, 0, os.SEEK_END)
        self._index_bytes = self._index_size(last.start) // INDEX_RECORD.size * INDEX_RECORD.size
        if self._index_bytes:
            record = os.pread(self._index_fd, INDEX_RECORD.size, self._index_bytes - INDEX_RECORD.size)
            self._run_start = unpack_index(record)[0]

    def place(self, directory: str, cap_bytes: int) -> None:
        """Make it the log in `directory`: by moving it there if it is open and empty, else by opening what is there.

        Raises:
            OSError: the disk refused.
        """
        self.cap_bytes = cap_bytes
        self.segment_bytes = segment_bytes_for_cap(cap_bytes)
        if self.fd >= 0:
            try:
                os.rename(self.directory, directory)
                self.directory = directory
                return
            except OSError:
                self.close()  # there is one already, or it is another file system
        self.open(directory)

    def close(self) -> None:
        """Close the files; a second call does nothing."""
        for fd in (self.fd, self._index_fd):
            if fd >= 0:
                os.close(fd)
        self.fd = self._index_fd = -1

    def sync(self) -> None:
        """Make the newest segment survive a power loss (POSIX fsync).

        Raises:
            OSError: the disk refused.
        """
        os.fsync(self.fd)
        os.fsync(self._index_fd)

    @property
    def dropped_bytes(self) -> int:
        """How many bytes are no longer kept."""
        return self.end - (self.end - self._start) - sum(size for _, size, _ in self._older)

    @property
    def has_middle(self) -> bool:
        """Whether `shrink` would free anything."""
        return len(self._older) > 1

    def room(self) -> int:
        """Return how many bytes fit in the newest segment; roll it first when that is none."""
        return self.segment_bytes - (self.end - self._start) - self._index_bytes

    def note(self, kind: int, time_ns: int) -> None:
        """Say that bytes of stream `kind` come next. Writes an index record if they are a transition.

        Raises:
            OSError: the disk refused; call again before the bytes.
        """
        slot = time_ns // TIME_SLOT_NS
        if kind == self._kind and slot == self._slot:
            return
        position = self._index_bytes
        if position and self._run_start == self.end:
            position -= INDEX_RECORD.size  # nothing came after that record: it is replaced
        if os.pwrite(self._index_fd, pack_index(self.end, time_ns, kind), position) != INDEX_RECORD.size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._index_bytes = position + INDEX_RECORD.size
        self._run_start = self.end
        self._kind, self._slot = kind, slot

    def roll(self) -> None:
        """Start a new segment and drop what the cap no longer allows.

        Raises:
            OSError: the disk refused; the old segment stays the newest.
        """
        full = (self._start, self.end - self._start, self._index_bytes)
        old_fds = (self.fd, self._index_fd)
        self._create(self.end)
        for fd in old_fds:
            os.close(fd)
        self._older.append(full)
        while len(self._older) > 1 and self._kept_bytes() + self.segment_bytes > self.cap_bytes:
            self._drop(self._older.pop(1))

    def shrink(self) -> None:
        """Keep only the head and the newest segment."""
        while len(self._older) > 1:
            self._drop(self._older.pop(1))

    def _kept_bytes(self) -> int:
        """Return what the older segments use on the disk."""
        return sum(size + index_size for _, size, index_size in self._older)

    def _create(self, start: int) -> None:
        """Make the segment at `start` the newest."""
        self.fd, self._index_fd = self._open_files(start)
        self._start, self._index_bytes, self._run_start, self._kind = start, 0, -1, -1

    def _open_files(self, start: int) -> tuple[int, int]:
        """Open both files of a segment; the index first, because readers list segments by their log."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        index_fd = os.open(f"{self.directory}/{index_name(start)}", flags, 0o600)
        try:
            fd = os.open(f"{self.directory}/{segment_name(start)}", flags, 0o600)
        except OSError:
            os.close(index_fd)
            raise
        return fd, index_fd

    def _index_size(self, start: int) -> int:
        try:
            return os.stat(f"{self.directory}/{index_name(start)}").st_size
        except FileNotFoundError:
            return 0

    def _drop(self, segment: tuple[int, int, int]) -> None:
        for name in (segment_name(segment[0]), index_name(segment[0])):
            try:
                os.unlink(f"{self.directory}/{name}")
            except FileNotFoundError:
                continue  # somebody tidied up by hand; it is gone, which is what was wanted
