"""Writes a job's log as a runner does, with whatever segment size and time a test needs; and remembers the truth."""

import os

from bgjobd.runner.logfile import KIND_STDERR, KIND_STDOUT, TIME_SLOT_NS, index_name, pack_index, segment_name

KINDS = {"stdout": KIND_STDOUT, "stderr": KIND_STDERR}
FIRST_TIME_NS = 1_790_000_000_000_000_000


class LogWriter:
    """A log in the making. `bytes_written` is a list of (byte, stream, slot); `dropped` a set of offsets."""

    def __init__(self, log_dir, segment_bytes=64, remember=True):
        self.log_dir = str(log_dir)
        self.segment_bytes = segment_bytes
        self.remember = remember
        self.end = 0
        self.time_ns = FIRST_TIME_NS
        self.bytes_written = []
        self.dropped = set()
        self._starts = []
        self._size = 0
        self._last = None
        os.makedirs(self.log_dir, exist_ok=True)

    def write(self, data, stream="stdout", later_ns=0):
        """Append `data`, `later_ns` after the write before."""
        self.time_ns += later_ns
        while data:
            if not self._starts or self._size >= self.segment_bytes:
                self._new_segment()
            part, data = data[: self.segment_bytes - self._size], data[self.segment_bytes - self._size :]
            self._record(stream)
            self._append(segment_name(self._starts[-1]), part)
            slot = self.time_ns // TIME_SLOT_NS
            if self.remember:
                self.bytes_written += [(byte, stream, slot) for byte in part]
            self.end += len(part)
            self._size += len(part)

    def write_sparse(self, size, stream="stdout"):
        """Append `size` NUL bytes that take no space on the disk. They are not remembered."""
        while size:
            if not self._starts or self._size >= self.segment_bytes:
                self._new_segment()
            part = min(size, self.segment_bytes - self._size)
            self._record(stream)
            path = os.path.join(self.log_dir, segment_name(self._starts[-1]))
            open(path, "ab").close()
            os.truncate(path, self._size + part)
            self.end += part
            self._size += part
            size -= part

    def crash(self, stream):
        """Die between the index record and its bytes."""
        if self._starts:
            self._append(index_name(self._starts[-1]), pack_index(self.end, self.time_ns, KINDS[stream]))
            self._last = None

    def drop(self, number):
        """Drop the segment of this number, unless it is the first or the newest; return whether it was dropped."""
        if not 0 < number < len(self._starts) - 1:
            return False
        start, end = self._starts[number], self._starts[number + 1]
        for name in (segment_name(start), index_name(start)):
            try:
                os.unlink(os.path.join(self.log_dir, name))
            except FileNotFoundError:
                return False
        self.dropped.update(range(start, end))
        return True

    @property
    def segments(self):
        """How many segments there were."""
        return len(self._starts)

    def segment_path(self, number):
        return os.path.join(self.log_dir, segment_name(self._starts[number]))

    def index_path(self, number):
        return os.path.join(self.log_dir, index_name(self._starts[number]))

    def _new_segment(self):
        self._starts.append(self.end)
        self._size, self._last = 0, None

    def _record(self, stream):
        state = (stream, self.time_ns // TIME_SLOT_NS)
        if state != self._last:
            self._append(index_name(self._starts[-1]), pack_index(self.end, self.time_ns, KINDS[stream]))
            self._last = state

    def _append(self, name, data):
        with open(os.path.join(self.log_dir, name), "ab", buffering=0) as file:
            file.write(data)
