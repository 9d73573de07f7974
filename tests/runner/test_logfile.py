"""The writer of a log by itself: its index, its segments, and going on after a crash at any point."""

import os

from bgjobd.runner.logfile import (
    INDEX_RECORD,
    KIND_STDERR,
    KIND_STDOUT,
    LogWriter,
    list_segments,
    log_end,
    pack_index,
    segment_bytes_for_cap,
    unpack_index,
)

NOW_NS = 1_790_000_000_000_000_000


def _open(directory: str, cap: int = 1 << 20) -> LogWriter:
    log = LogWriter()
    log.place(directory, cap)
    return log


def _write(log: LogWriter, kind: int, data: bytes, now_ns: int = NOW_NS) -> None:
    """Do what the pump does."""
    while data:
        if log.room() <= 0:
            log.roll()
        log.note(kind, now_ns)
        written = os.write(log.fd, data[: log.room()])
        log.end += written
        data = data[written:]


def _index(directory: str, start: int = 0) -> list[tuple[int, int]]:
    with open(os.path.join(directory, f"{start:016x}.idx"), "rb") as file:
        data = file.read()
    records = [unpack_index(data, position) for position in range(0, len(data), INDEX_RECORD.size)]
    return [(offset, kind) for offset, _, kind in records]


def test_an_index_record_is_written_only_at_a_transition(tmp_path) -> None:
    directory = str(tmp_path / "log")
    log = _open(directory)
    _write(log, KIND_STDOUT, b"one")
    _write(log, KIND_STDOUT, b"two")
    _write(log, KIND_STDERR, b"three")
    _write(log, KIND_STDERR, b"four", NOW_NS + 10_000_000)
    assert _index(directory) == [(0, KIND_STDOUT), (6, KIND_STDERR), (11, KIND_STDERR)]
    log.close()


def test_a_record_that_no_byte_followed_is_replaced(tmp_path) -> None:
    directory = str(tmp_path / "log")
    log = _open(directory)
    _write(log, KIND_STDOUT, b"one")
    for step in range(5):  # a full disk, tried again and again
        log.note(KIND_STDERR, NOW_NS + step * 100_000_000)
    _write(log, KIND_STDOUT, b"two", NOW_NS + 10**9)
    assert _index(directory) == [(0, KIND_STDOUT), (3, KIND_STDOUT)]
    log.close()


def test_it_goes_on_after_a_crash_wherever_that_was(tmp_path) -> None:
    directory = str(tmp_path / "log")
    log = _open(directory)
    _write(log, KIND_STDOUT, b"one")
    log.close()
    index = os.path.join(directory, f"{0:016x}.idx")
    crashes = {
        "between the record and its bytes": pack_index(3, NOW_NS, KIND_STDERR),
        "in the middle of a record": pack_index(3, NOW_NS, KIND_STDERR)[:5],
        "between the bytes and the next record": b"",
    }
    for written in crashes.values():
        before = log_end(directory)
        with open(index, "ab") as file:
            file.write(written.replace(INDEX_RECORD.pack(3, 0)[:8], before.to_bytes(8, "little")))
        log = _open(directory)
        assert log.end == before
        _write(log, KIND_STDOUT, b"more")
        log.close()
        offsets = [offset for offset, _ in _index(directory)]
        assert offsets == sorted(set(offsets))
        assert offsets[-1] == before


def test_a_prepared_log_is_moved_and_one_that_is_there_is_continued(tmp_path) -> None:
    prepared = LogWriter()
    prepared.open(str(tmp_path / "spool"))
    prepared.place(str(tmp_path / "log"), 1 << 20)
    _write(prepared, KIND_STDOUT, b"one")
    prepared.close()
    assert os.listdir(tmp_path) == ["log"]
    again = LogWriter()
    again.open(str(tmp_path / "spool"))
    again.place(str(tmp_path / "log"), 1 << 20)
    assert again.end == 3
    again.close()


def test_the_cap_holds_for_any_size(tmp_path) -> None:
    for number, cap in enumerate((0, 1, 40_000, 300_000)):
        directory = str(tmp_path / str(number))
        log = _open(directory, cap)
        for _ in range(40):
            _write(log, KIND_STDOUT, bytes(20_000))
        used = sum(os.path.getsize(os.path.join(directory, name)) for name in os.listdir(directory))
        assert used <= max(cap, 2 * segment_bytes_for_cap(cap))
        segments = list_segments(directory)
        kept = sum(segment.end - segment.start for segment in segments)
        assert (log.end, log.dropped_bytes) == (800_000, 800_000 - kept)
        log.shrink()
        assert [segments[0].start, segments[-1].start] == [segment.start for segment in list_segments(directory)]
        log.close()
