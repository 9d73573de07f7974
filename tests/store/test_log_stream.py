"""A log read part by part: nothing twice, nothing left out, while it grows and while its middle is dropped."""

import os
import random
from itertools import pairwise
from pathlib import Path

import pytest

from bgjobd.protocol import Run, Stream
from bgjobd.store.logs import LogPart, LogReader, LogStream
from tests.helpers.log_writer import LogWriter


def offsets(part: LogPart) -> list[tuple[int, int]]:
    """Return the ranges that the runs and gaps of a part cover, in order."""
    return [
        (item.offset, item.offset + len(item.data)) if isinstance(item, Run) else (item.start, item.end)
        for item in part.items()
    ]


def read_to_the_end(log: LogStream, max_bytes: int) -> list[LogPart]:
    parts = [log.read(max_bytes)]
    while parts[-1].cursor < parts[-1].end:
        parts.append(log.read(max_bytes))
    return parts


def test_parts_are_what_one_read_returns(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "log", segment_bytes=100)
    for number in range(60):
        writer.write(b"line %d\n" % number, "stderr" if number % 7 == 0 else "stdout", later_ns=number * 1_000_000)
    for stream in Stream:
        for split in (False, True):
            whole = LogReader(writer.log_dir).read(0, max_bytes=1 << 20, stream=stream, split=split)
            with LogStream(writer.log_dir, 0, stream=stream, split=split) as log:
                parts = read_to_the_end(log, 37)
            assert b"".join(run.data for part in parts for run in part.runs) == b"".join(r.data for r in whole.runs)
            assert parts[-1].cursor == whole.end


def test_what_is_written_later_follows(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "log", segment_bytes=100)
    with LogStream(writer.log_dir, 0) as log:
        assert log.read(10).runs == []
        for number in range(50):
            writer.write(b"%d," % number)
            if number % 3 == 0:
                log.close()  # as one does who waits
            [part] = read_to_the_end(log, 1000)
            assert b"".join(run.data for run in part.runs) == b"%d," % number


def test_every_byte_is_in_a_run_or_a_gap_while_segments_are_dropped(tmp_path: Path) -> None:
    choice = random.Random(7)
    for round_number in range(30):
        writer = LogWriter(tmp_path / str(round_number), segment_bytes=50)
        writer.write(b"x" * 1000)
        covered: list[tuple[int, int]] = []
        with LogStream(writer.log_dir, 0) as log:
            while not covered or covered[-1][1] < writer.end:
                writer.drop(choice.randrange(writer.segments))
                covered += offsets(log.read(choice.randrange(1, 120)))
        assert covered[0][0] == 0
        assert all(before[1] == after[0] for before, after in pairwise(covered))


def test_what_is_read_from_memory_is_what_is_read_from_the_disk(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "log", segment_bytes=1 << 20, remember=False)
    writer.write(os.urandom(300_000))
    with LogStream(writer.log_dir, 0) as from_memory, LogStream(writer.log_dir, 0) as from_disk:
        for _ in range(4):
            expected = from_disk.read(100_000)
            part = from_memory.read_cached(100_000) or from_memory.read(100_000)
            assert (part.runs, part.cursor, part.end) == (expected.runs, expected.cursor, expected.end)


def test_where_one_cannot_know_what_is_in_memory_everything_is_left_to_a_read_that_may_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "RWF_NOWAIT")
    writer = LogWriter(tmp_path / "log", segment_bytes=100)
    writer.write(b"x" * 150)
    with LogStream(writer.log_dir, 0) as log:
        assert log.read_cached(1000) is None
        assert log.cursor == 0
        assert log.read(1000).cursor == 150
        assert log.read_cached(1000) == LogPart(150, 150, 150)  # for nothing nobody has to wait
