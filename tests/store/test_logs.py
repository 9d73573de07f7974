"""Reading a log: exact coverage whatever is written, dropped and asked, at a cost that the log's size does not set."""

import os
import shutil
import tempfile
import threading
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.protocol import Gap, Keep, Run, Stream
from bgjobd.runner.logfile import TIME_SLOT_NS, pack_index
from bgjobd.store.job_view import LogFacts
from bgjobd.store.logs import LogReader, log_facts
from tests.helpers.log_writer import FIRST_TIME_NS, LogWriter

ALL = 1 << 30
MIB = 1 << 20


@pytest.fixture
def log(tmp_path):
    return LogWriter(tmp_path / "log")


def text(part, stream=None):
    return b"".join(run.data for run in part.runs if stream in (None, run.stream))


# --- a log against a simple model ------------------------------------------------------------------------------------

WRITES = st.tuples(
    st.just("write"),
    st.sampled_from(["stdout", "stderr"]),
    st.one_of(st.binary(max_size=40), st.text("aé\n𝄞", max_size=30).map(str.encode)),
    st.sampled_from([0, 1, TIME_SLOT_NS, 5 * TIME_SLOT_NS]),
)
DROPS = st.tuples(st.just("drop"), st.integers(0, 20))
CRASHES = st.tuples(st.just("crash"), st.sampled_from(["stdout", "stderr"]))
HISTORIES = st.lists(st.one_of(WRITES, WRITES, WRITES, DROPS, CRASHES), max_size=40)
STREAMS = st.sampled_from(list(Stream))


class Scratch:
    """A log made from a generated history, in a directory of its own."""

    def __init__(self, history, segment_bytes):
        self._directory = tempfile.mkdtemp()
        self.writer = LogWriter(os.path.join(self._directory, "log"), segment_bytes)
        for kind, *arguments in history:
            if kind == "write":
                stream, data, later_ns = arguments
                self.writer.write(data, stream, later_ns)
            else:
                getattr(self.writer, kind)(*arguments)
        self.reader = LogReader(self.writer.log_dir)

    def __enter__(self):
        return self.writer, self.reader

    def __exit__(self, *_):
        shutil.rmtree(self._directory)


def expected(writer, start, end, stream):
    """Return {offset: byte} of what is kept of a stream."""
    return {
        offset: writer.bytes_written[offset][0]
        for offset in range(start, end)
        if offset not in writer.dropped and stream in (Stream.MERGED, writer.bytes_written[offset][1])
    }


def found_in(part):
    """Return {offset: byte} of a part; fails when an offset comes twice."""
    found = {}
    for run in part.runs:
        for offset, byte in enumerate(run.data, run.offset):
            assert offset not in found
            found[offset] = byte
    return found


def check_part(writer, part, stream, split, max_bytes):
    """Check all that is true of every part, however it was asked for."""
    found = found_in(part)
    missing = set()
    for gap in part.gaps:
        offsets = set(range(gap.start, gap.end))
        assert offsets and not offsets & missing and not offsets & found.keys()
        missing |= offsets
        assert (offsets <= writer.dropped) if gap.reason == "dropped" else not offsets & writer.dropped
        if gap.reason == "budget" and stream is not Stream.MERGED:
            assert gap.stream_bytes == len(expected(writer, gap.start, gap.end, stream))
    wanted = expected(writer, part.since, part.cursor, stream)
    assert found == {offset: byte for offset, byte in wanted.items() if offset not in missing}
    assert len(found) <= max_bytes
    if stream is Stream.MERGED:
        assert found.keys() | missing == set(range(part.since, part.cursor))
    assert (set(range(part.since, part.cursor)) & writer.dropped) <= missing
    starts = [item.offset if isinstance(item, Run) else item.start for item in part.items()]
    assert starts == sorted(starts) and len(starts) == len(part.runs) + len(part.gaps)
    assert part.end == writer.end
    for run in part.runs:
        span = writer.bytes_written[run.offset : run.offset + len(run.data)]
        assert run.data
        assert run.time_unix_ms // 10 == span[0][2]
        if split or stream is not Stream.MERGED:
            assert {entry[1] for entry in span} == {run.stream.value}
        if split:
            assert len({entry[2] for entry in span}) == 1


@settings(max_examples=150, deadline=None)
@given(
    history=HISTORIES,
    segment_bytes=st.integers(1, 70),
    stream=STREAMS,
    split=st.booleans(),
    keep=st.sampled_from(list(Keep)),
    since=st.integers(0, 400),
    until=st.one_of(st.none(), st.integers(0, 400)),
    max_bytes=st.integers(0, 150),
)
def test_any_read_covers_its_range_exactly(history, segment_bytes, stream, split, keep, since, until, max_bytes):
    with Scratch(history, segment_bytes) as (writer, reader):
        part = reader.read(since, max_bytes=max_bytes, until=until, stream=stream, split=split, keep=keep)
        end = writer.end if until is None else min(until, writer.end)
        assert part.since == min(since, end)
        assert part.since <= part.cursor <= end
        check_part(writer, part, stream, split, max_bytes)
        if keep is Keep.HEAD:
            assert not [gap for gap in part.gaps if gap.reason == "budget"]
        else:
            assert part.cursor == end
        if max_bytes >= len(expected(writer, part.since, end, stream)):
            assert part.cursor == end and not [gap for gap in part.gaps if gap.reason == "budget"]
        else:
            assert len(found_in(part)) > max_bytes - 8  # two cuts, each at most 3 bytes short for a whole character


@settings(max_examples=100, deadline=None)
@given(
    history=HISTORIES,
    segment_bytes=st.integers(1, 70),
    stream=STREAMS,
    split=st.booleans(),
    budgets=st.lists(st.integers(1, 60), min_size=1),
)
def test_reading_on_from_each_cursor_gives_every_byte_once(history, segment_bytes, stream, split, budgets):
    with Scratch(history, segment_bytes) as (writer, reader):
        cursor, found, calls = 0, {}, 0
        while cursor < writer.end:
            part = reader.read(cursor, max_bytes=budgets[calls % len(budgets)], stream=stream, split=split)
            check_part(writer, part, stream, split, ALL)
            assert part.since == cursor < part.cursor
            cursor, calls = part.cursor, calls + 1
            found |= found_in(part)
        assert found == expected(writer, 0, writer.end, stream)


@settings(max_examples=150, deadline=None)
@given(
    history=HISTORIES,
    segment_bytes=st.integers(1, 70),
    stream=STREAMS,
    split=st.booleans(),
    lines=st.integers(0, 12),
    max_bytes=st.integers(0, 150),
)
def test_any_tail_is_the_last_lines_or_what_fits_of_them(history, segment_bytes, stream, split, lines, max_bytes):
    with Scratch(history, segment_bytes) as (writer, reader):
        part = reader.tail(lines, max_bytes=max_bytes, stream=stream, split=split)
        check_part(writer, part, stream, split, max_bytes)
        assert part.cursor == writer.end
        edge = max(writer.dropped, default=-1) + 1  # what follows the last hole
        kept = expected(writer, edge, writer.end, stream)
        last = b"".join(bytes((byte,)) for byte in kept.values())
        wanted = b"".join(split_lines(last)[-lines:]) if lines else b""
        if len(wanted) <= max_bytes:
            assert text(part) == wanted
            assert not [gap for gap in part.gaps if gap.reason == "budget"]
        else:
            assert wanted.endswith(text(part))
            assert len(text(part)) > max_bytes - 4
            assert part.gaps and part.gaps[-1].reason == "budget"
        if lines > len(split_lines(last)) and edge:
            assert part.gaps[0].reason == "dropped" and part.gaps[0].end == edge


def split_lines(data):
    lines = data.split(b"\n")
    return [line + b"\n" for line in lines[:-1]] + [line for line in lines[-1:] if line]


@settings(max_examples=50, deadline=None)
@given(history=HISTORIES, segment_bytes=st.integers(1, 70))
def test_facts_are_those_of_the_files(history, segment_bytes):
    with Scratch(history, segment_bytes) as (writer, reader):
        facts = reader.facts()
        assert (facts.output_bytes, facts.dropped_bytes) == (writer.end, len(writer.dropped))
        assert reader.end() == writer.end
        kept = {offset for start, end in reader.kept_ranges() for offset in range(start, end)}
        assert kept == set(range(writer.end)) - writer.dropped
        if writer.bytes_written:
            assert facts.last_output_ns // TIME_SLOT_NS == writer.bytes_written[-1][2]
        else:
            assert facts == LogFacts()


# --- single behaviours -----------------------------------------------------------------------------------------------


def test_a_missing_log_is_an_empty_one(tmp_path):
    reader = LogReader(str(tmp_path / "nothing"))
    part = reader.read(10, max_bytes=ALL)
    assert (part.since, part.cursor, part.end, part.runs, part.gaps) == (0, 0, 0, [], [])
    assert reader.tail(10, max_bytes=ALL).runs == []
    assert log_facts(str(tmp_path / "nothing")) == LogFacts()


def test_unsplit_merged_output_is_one_run_per_segment(tmp_path):
    log = LogWriter(tmp_path, segment_bytes=1000)
    for number in range(100):
        log.write(b"%09d\n" % number, "stderr" if number % 2 else "stdout", TIME_SLOT_NS)
    part = LogReader(log.log_dir).read(max_bytes=ALL)
    assert [len(run.data) for run in part.runs] == [1000]
    assert part.runs[0].stream is Stream.MERGED and part.runs[0].time_unix_ms > 0


def test_unsplit_output_of_one_stream_joins_what_only_time_separates(log):
    log.write(b"one\n", "stdout")
    log.write(b"two\n", "stdout", TIME_SLOT_NS)
    log.write(b"oops\n", "stderr")
    log.write(b"three\n", "stdout")
    part = LogReader(log.log_dir).read(max_bytes=ALL, stream=Stream.STDOUT)
    assert [(run.offset, run.data) for run in part.runs] == [(0, b"one\ntwo\n"), (13, b"three\n")]


def test_split_output_has_the_time_of_each_line(log):
    log.write(b"one\n")
    log.write(b"two\n", later_ns=3 * TIME_SLOT_NS)
    part = LogReader(log.log_dir).read(max_bytes=ALL, split=True)
    first = FIRST_TIME_NS // 1_000_000
    assert [(run.data, run.time_unix_ms - first) for run in part.runs] == [(b"one\n", 0), (b"two\n", 30)]


def test_a_budget_never_splits_a_character(log):
    log.write("aé𝄞".encode())  # 1 + 2 + 4 bytes
    reader = LogReader(log.log_dir)
    assert [text(reader.read(max_bytes=size)).decode() for size in (1, 2, 3, 4, 6, 7)] == ["a", "a", *["aé"] * 3, "aé𝄞"]
    assert text(reader.tail(1, max_bytes=5)).decode() == "𝄞"
    assert text(reader.tail(1, max_bytes=3)) == b""


def test_a_budget_smaller_than_a_character_still_makes_progress(log):
    log.write("𝄞𝄞".encode())
    part = LogReader(log.log_dir).read(max_bytes=2)
    assert (text(part), part.cursor) == ("𝄞".encode()[:2], 2)


def test_head_and_tail_leave_out_the_exact_middle(log):
    log.write(bytes(range(60)))
    part = LogReader(log.log_dir).read(max_bytes=20, keep=Keep.HEAD_TAIL)
    assert text(part) == bytes(range(10)) + bytes(range(50, 60))
    assert part.gaps == [Gap(start=10, end=50, reason="budget")]
    assert part.cursor == part.end == 60


def test_what_was_dropped_and_what_was_left_out_are_told_apart(tmp_path):
    log = LogWriter(tmp_path, segment_bytes=10)
    log.write(b"x" * 60)
    log.drop(2)
    part = LogReader(log.log_dir).read(max_bytes=8, keep=Keep.HEAD_TAIL)
    assert part.gaps == [
        Gap(start=4, end=20, reason="budget"),
        Gap(start=20, end=30, reason="dropped"),
        Gap(start=30, end=56, reason="budget"),
    ]


def test_a_cut_in_one_stream_says_how_many_of_its_bytes_are_left_out(log):
    for _ in range(10):
        log.write(b"12345", "stdout")
        log.write(b"abc", "stderr")
    part = LogReader(log.log_dir).read(max_bytes=10, stream=Stream.STDERR, keep=Keep.TAIL)
    assert text(part) == b"cabcabcabc"
    assert [gap.stream_bytes for gap in part.gaps] == [20]


def test_a_segment_that_is_dropped_while_the_log_is_read_becomes_a_gap(tmp_path, monkeypatch):
    log = LogWriter(tmp_path, segment_bytes=10)
    log.write(b"0123456789" * 4)
    listed = os.listdir

    def list_then_drop(path):
        names = listed(path)
        log.drop(1)
        return names

    monkeypatch.setattr(os, "listdir", list_then_drop)  # the race itself, at its exact moment
    part = LogReader(log.log_dir).read(max_bytes=ALL)
    assert part.gaps == [Gap(start=10, end=20)] and len(text(part)) == 30
    check_part(log, part, Stream.MERGED, False, ALL)


def test_the_end_never_goes_back_while_the_log_moves_on(tmp_path, monkeypatch):
    log = LogWriter(tmp_path, segment_bytes=10)
    log.write(b"x" * 30)
    listed, moves = os.listdir, [None]

    def list_then_move_on(path):
        names = listed(path)
        if moves:
            moves.pop()
            log.write(b"y" * 20)
            assert log.drop(1) and log.drop(2) and log.drop(3)  # all that was listed after the first
        return names

    monkeypatch.setattr(os, "listdir", list_then_move_on)
    assert LogReader(log.log_dir).end() == 50


def test_a_segment_that_a_listing_missed_is_not_reported_as_dropped(tmp_path, monkeypatch):
    log = LogWriter(tmp_path, segment_bytes=10)
    log.write(b"x" * 50)
    missed = {os.path.basename(log.segment_path(2)), os.path.basename(log.segment_path(3))}
    listed = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: [name for name in listed(path) if name not in missed])
    assert LogReader(log.log_dir).kept_ranges() == [(0, 50)]


@pytest.mark.parametrize("damage", ["missing", "empty", "late"])
def test_a_damaged_index_does_not_hide_the_bytes(log, damage):
    log.write(b"out", "stdout")
    log.write(b"err", "stderr")
    if damage == "missing":
        os.unlink(log.index_path(0))
    else:
        with open(log.index_path(0), "wb") as file:
            file.write(pack_index(3, log.time_ns, 1) if damage == "late" else b"")
    part = LogReader(log.log_dir).read(max_bytes=ALL, split=True)
    assert [(run.stream, run.data, run.time_unix_ms) for run in part.runs] == [(Stream.STDOUT, b"outerr", 0)]


@pytest.mark.parametrize("order", [[0, 4, 2, 6], [0, 9, 1, 1], [0, 0, 0, 50]])
def test_an_index_out_of_order_neither_hides_nor_repeats_a_byte(log, order):
    log.write(b"0123456789", "stdout")
    with open(log.index_path(0), "wb") as file:
        file.write(b"".join(pack_index(offset, log.time_ns, number % 2) for number, offset in enumerate(order)))
    for split in (False, True):
        for keep in (Keep.HEAD, Keep.TAIL):
            part = LogReader(log.log_dir).read(max_bytes=ALL, split=split, keep=keep)
            assert text(part) == b"0123456789"


def test_a_log_that_became_shorter_is_damaged(tmp_path, monkeypatch):
    log = LogWriter(tmp_path, segment_bytes=100)
    log.write(b"x" * 50)
    opened = os.open

    def cut_then_open(path, *arguments):
        if str(path).endswith(".log"):
            os.truncate(path, 20)
        return opened(path, *arguments)

    monkeypatch.setattr(os, "open", cut_then_open)
    with pytest.raises(BgjobError) as caught:
        LogReader(log.log_dir).read(max_bytes=ALL)
    assert caught.value.code is ErrorCode.OUTPUT_DAMAGED


def test_a_log_that_cannot_be_read_is_a_storage_error(tmp_path):
    (tmp_path / "log").write_bytes(b"not a directory")
    with pytest.raises(BgjobError) as caught:
        LogReader(str(tmp_path / "log")).read(max_bytes=ALL)
    assert caught.value.code is ErrorCode.STORAGE


def test_a_line_without_its_newline_counts_as_a_line(log):
    log.write(b"one\ntwo\nthree")
    reader = LogReader(log.log_dir)
    assert [text(reader.tail(lines, max_bytes=ALL)) for lines in (1, 2)] == [b"three", b"two\nthree"]
    log.write(b"\n")
    assert [text(reader.tail(lines, max_bytes=ALL)) for lines in (1, 2)] == [b"three\n", b"two\nthree\n"]


def test_a_tail_of_one_stream_counts_the_lines_of_that_stream(log):
    for number in range(5):
        log.write(b"out %d " % number, "stdout")
        log.write(b"err %d\n" % number, "stderr")
        log.write(b"end\n", "stdout")
    part = LogReader(log.log_dir).tail(2, max_bytes=ALL, stream=Stream.STDOUT)
    assert text(part) == b"out 3 end\nout 4 end\n"


def test_a_line_longer_than_the_budget_is_shown_from_its_end(tmp_path):
    log = LogWriter(tmp_path, segment_bytes=64 * MIB, remember=False)
    log.write(b"first\n")
    log.write(b"x" * 300_000 + b"end\n")
    part = LogReader(log.log_dir).tail(1, max_bytes=1000)
    assert text(part) == b"x" * 996 + b"end\n"
    assert part.gaps == [Gap(start=6, end=300_010 - 1000, reason="budget")]


def test_alternating_streams_do_not_make_a_part_with_unbounded_runs(tmp_path, monkeypatch):
    monkeypatch.setattr("bgjobd.store.logs.MAX_RUNS", 50)
    log = LogWriter(tmp_path, segment_bytes=100_000)
    for number in range(200):
        log.write(b"x\n", "stderr" if number % 2 else "stdout")
    reader = LogReader(log.log_dir)
    head = reader.read(max_bytes=ALL, split=True)
    assert (len(head.runs), head.cursor, head.gaps) == (50, 100, [])
    for part in (reader.read(max_bytes=ALL, split=True, keep=Keep.TAIL), reader.tail(1000, max_bytes=ALL, split=True)):
        assert (len(part.runs), part.cursor) == (50, 400)
        assert [(gap.end, gap.reason) for gap in part.gaps] == [(300, "budget")]


def test_a_reader_accounts_for_every_byte_of_a_log_that_is_written_and_dropped_meanwhile(tmp_path):
    log = LogWriter(tmp_path, segment_bytes=4096, remember=False)
    pattern = bytes(range(251)) * 40  # the byte at an offset follows from the offset
    total, done = 3_000_000, threading.Event()

    def write():
        number = 0
        while log.end < total:
            offset = log.end % 251
            log.write(
                pattern[offset : offset + 1 + number % 5000], "stderr" if number % 3 else "stdout", number % 7 << 20
            )
            number += 1
            log.drop(log.segments - 20)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    reader, cursor, gaps = LogReader(log.log_dir), 0, []
    try:
        while not (done.is_set() and cursor == log.end):
            part = reader.read(cursor, max_bytes=10_000, split=bool(cursor % 2))
            assert part.since == cursor <= part.cursor <= part.end
            for item in part.items():
                start, end = (
                    (item.start, item.end) if isinstance(item, Gap) else (item.offset, item.offset + len(item.data))
                )
                assert start == cursor < end
                if isinstance(item, Run):
                    assert item.data == (pattern[start % 251 :] + pattern)[: len(item.data)]
                else:
                    # What was the newest segment when the reader looked may be gone before it is opened.
                    assert item.reason == "dropped" and (end % 4096 == 0 or end == part.end)
                    assert start % 4096 == 0 or start == part.since  # it was dropped under a reader in its middle
                    gaps.append(item)
                cursor = end
            assert cursor == part.cursor
    finally:
        writer.join()
    kept = reader.kept_ranges()
    assert kept[0][0] == 0 and kept[-1][1] == log.end == cursor
    assert not [gap for gap in gaps if any(start < gap.end and gap.start < end for start, end in kept)]


# --- cost ------------------------------------------------------------------------------------------------------------


def bytes_read():
    """Return how many bytes this process has read so far, as the kernel counts."""
    with open("/proc/self/io") as file:
        return int(file.readline().split()[1])


needs_io_accounting = pytest.mark.skipif(not os.path.exists("/proc/self/io"), reason="needs Linux's /proc/self/io")


@pytest.fixture
def huge(tmp_path):
    """A 10 GiB log that takes next to no disk."""
    log = LogWriter(tmp_path, segment_bytes=64 * MIB, remember=False)
    log.write(b"start\n")
    log.write_sparse(5 << 30)
    log.write(b"\na warning\n", "stderr")
    log.write_sparse(5 << 30)
    log.write(b"\n" + b"".join(b"line %d\n" % number for number in range(200)))
    return log


@needs_io_accounting
def test_the_tail_of_ten_gigabytes_reads_and_holds_next_to_nothing(huge):
    reader = LogReader(huge.log_dir)
    tracemalloc.start()
    before = bytes_read()
    part = reader.tail(50, max_bytes=MIB)
    read, peak = bytes_read() - before, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert text(part) == b"".join(b"line %d\n" % number for number in range(150, 200))
    assert read < 200_000 and peak < 1_000_000


@needs_io_accounting
def test_a_line_of_gigabytes_costs_a_bounded_search(huge):
    before = bytes_read()
    part = LogReader(huge.log_dir).tail(500, max_bytes=10_000)
    assert bytes_read() - before < 10 * MIB
    assert len(text(part)) == 10_000 and part.gaps[0].reason == "budget"


@needs_io_accounting
def test_one_stream_is_read_without_touching_the_other(huge):
    before = bytes_read()
    reader = LogReader(huge.log_dir)
    assert text(reader.read(max_bytes=ALL, stream=Stream.STDERR)) == b"\na warning\n"
    assert text(reader.tail(5, max_bytes=ALL, stream=Stream.STDERR)) == b"\na warning\n"
    assert bytes_read() - before < MIB


@needs_io_accounting
def test_a_cursor_in_the_middle_is_found_without_reading_up_to_it(tmp_path):
    log = LogWriter(tmp_path, segment_bytes=64 * MIB, remember=False)
    with open(tmp_path / "0000000000000000.idx", "wb") as index:  # a record per byte: 16 MiB of index
        index.write(b"".join(pack_index(offset, FIRST_TIME_NS, offset % 2) for offset in range(MIB)))
    (tmp_path / "0000000000000000.log").write_bytes(bytes(MIB))
    before = bytes_read()
    part = LogReader(log.log_dir).read(700_000, max_bytes=10, stream=Stream.STDERR)
    assert [run.offset for run in part.runs] == list(range(700_001, 700_020, 2))
    assert bytes_read() - before < 300_000
