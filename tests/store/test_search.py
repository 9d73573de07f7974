"""Searching a log: the same lines that a line-by-line search of the whole text finds, wherever the borders lie."""

import os
import re
import shutil
import tempfile
import tracemalloc

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bgjobd.errors import BgjobError, ErrorCode
from bgjobd.protocol import JobInfo, SearchReply, Stream
from bgjobd.store.logs import LogReader
from bgjobd.store.search import search
from bgjobd.wire import MAX_FRAME_BYTES
from tests.helpers.log_writer import LogWriter

MIB = 1 << 20


@pytest.fixture
def log(tmp_path):
    return LogWriter(tmp_path, segment_bytes=1000)


def lines_found(log, pattern, **arguments):
    return [(match.line_number, match.line) for match in search(LogReader(log.log_dir), pattern, **arguments).matches]


@settings(max_examples=100, deadline=None)
@given(
    writes=st.lists(
        st.tuples(st.sampled_from(["stdout", "stderr"]), st.text("ab\né", max_size=12).map(str.encode)), max_size=40
    ),
    segment_bytes=st.integers(1, 50),
    stream=st.sampled_from(list(Stream)),
    pattern=st.sampled_from(["a", "^b", "a$", "aé?b", "^$", "[^a]b", r"\bé", "b|a{3}"]),
    context=st.integers(0, 3),
    limit=st.integers(0, 20),
)
def test_finds_what_a_search_of_the_whole_text_finds(writes, segment_bytes, stream, pattern, context, limit):
    directory = tempfile.mkdtemp()
    try:
        log = LogWriter(directory, segment_bytes)
        for of, data in writes:
            log.write(data, of)
        found = search(LogReader(directory), pattern, stream=stream, context=context, limit=limit)
    finally:
        shutil.rmtree(directory)
    mine = [(offset, byte) for offset, (byte, of, _) in enumerate(log.bytes_written) if stream in ("merged", of)]
    data = bytes(byte for _, byte in mine)
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    expected, position = [], 0
    for number, line in enumerate(lines):
        if re.search(pattern, line.decode()):
            before, after = lines[max(0, number - context) : number], lines[number + 1 : number + 1 + context]
            expected.append((number + 1, mine[position][0], line, before, after))
        position += len(line) + 1
    actual = [(match.line_number, match.cursor, match.line, match.before, match.after) for match in found.matches]
    assert actual == expected[:limit]
    assert (found.total, found.searched_bytes) == (len(expected), len(data))


def test_a_line_across_segments_and_streams_is_one_line(log):
    log.write(b"x" * 990)
    log.write(b" connection ", "stdout")
    log.write(b"noise\n", "stderr")
    log.write(b"refused\n", "stdout")
    [match] = search(LogReader(log.log_dir), "connection refused", stream=Stream.STDOUT).matches
    assert (match.line_number, match.cursor, match.line_bytes) == (1, 0, 990 + 12 + 7)


def test_context_is_what_there_is_at_the_beginning_of_a_log(tmp_path):
    log = LogWriter(tmp_path, segment_bytes=1)  # each line comes by itself
    log.write(b"\n1\nhit\n2")
    [match] = search(LogReader(log.log_dir), "hit", context=3).matches
    assert (match.before, match.after) == ([b"", b"1"], [b"2"])


def test_unicode_is_matched_as_characters_and_case_is_ignored_for_all_of_it(log):
    log.write("ÄRGER\ngrün\n日本\n".encode())
    assert lines_found(log, "ärger", ignore_case=True) == [(1, "ÄRGER".encode())]
    assert lines_found(log, "^gr.n$") == [(2, "grün".encode())]
    assert lines_found(log, "[本]$") == [(3, "日本".encode())]
    assert lines_found(log, "ärger") == []


def test_invalid_bytes_are_kept_and_do_not_stop_the_search(log):
    log.write(b"\xff\xfe broken\nok\xe2\n")
    assert lines_found(log, "broken") == [(1, b"\xff\xfe broken")]
    assert lines_found(log, "^ok.$") == [(2, b"ok\xe2")]


def test_the_end_of_a_line_is_found_before_a_carriage_return_too(log):
    log.write(b"done\r\nnot done yet\r\nlast done\r")
    assert lines_found(log, "done$") == [(1, b"done"), (3, b"last done")]


def test_a_gap_ends_a_line_and_is_reported(tmp_path):
    log = LogWriter(tmp_path, segment_bytes=10)
    log.write(b"aaaa\nbbbbbXXXXXXXXXXcc\ndddddd\n")
    log.drop(1)
    found = search(LogReader(log.log_dir), "b|c|d", context=2)
    assert [(match.line_number, match.line) for match in found.matches] == [(2, b"bbbbb"), (3, b"cc"), (4, b"dddddd")]
    assert [(gap.start, gap.end) for gap in found.gaps] == [(10, 20)]
    assert found.matches[0].after == [] and found.matches[1].before == []
    assert found.searched_bytes == 20


def test_all_matches_are_counted_also_those_past_the_limit(log):
    log.write(b"hit\nmiss\n" * 500)
    found = search(LogReader(log.log_dir), "hit", limit=3)
    assert ([match.line_number for match in found.matches], found.total) == ([1, 3, 5], 500)


def test_a_long_line_is_shown_around_what_matched(tmp_path):
    log = LogWriter(tmp_path, segment_bytes=64 * MIB, remember=False)
    log.write(b"a" * 50_000 + b"NEEDLE" + b"b" * 50_000 + b"\n")
    [match] = search(LogReader(log.log_dir), "NEEDLE").matches
    assert b"NEEDLE" in match.line and len(match.line) == 4096
    assert (match.cursor, match.line_bytes) == (0, 100_006)
    assert match.line.index(b"NEEDLE") + match.column == 50_000


@pytest.mark.parametrize("position", [0, MIB - 3, MIB, 3 * MIB - 9, 5 * MIB])
def test_a_line_of_megabytes_is_searched_to_its_end_and_counts_once(tmp_path, position):
    log = LogWriter(tmp_path, segment_bytes=64 * MIB, remember=False)
    log.write(b"first\n" + b"." * position + b"NEEDLE" + b"." * (5 * MIB - position) + b"NEEDLE\nlast NEEDLE\n")
    found = search(LogReader(log.log_dir), "NEEDLE", context=1)
    assert [(match.line_number, match.cursor) for match in found.matches] == [(2, 6), (3, 6 + 5 * MIB + 13)]
    assert found.total == 2
    assert found.matches[0].before == [b"first"] and found.matches[0].after == [b"last NEEDLE"]
    assert found.matches[0].line.index(b"NEEDLE") + found.matches[0].column == position


def test_a_result_always_fits_a_frame(tmp_path):
    log = LogWriter(tmp_path, segment_bytes=64 * MIB, remember=False)
    log.write((b"hit" + b"x" * 5000 + b"\n") * 4000)
    found = search(LogReader(log.log_dir), "hit", context=100, limit=10_000)
    assert found.total == 4000
    reply = SearchReply(job=JobInfo(job_id="x"), matches=found.matches, total=found.total)
    assert 1 * MIB < len(msgspec.msgpack.encode(reply)) < MAX_FRAME_BYTES // 2


def test_memory_does_not_follow_from_the_size_of_the_log(tmp_path):
    log = LogWriter(tmp_path, segment_bytes=64 * MIB, remember=False)
    log.write_sparse(32 * MIB)  # one line of 32 MiB
    log.write((b"y" * 59 + b"\n") * 100_000)
    tracemalloc.start()
    found = search(LogReader(log.log_dir), "z")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found.total, found.searched_bytes) == (0, 32 * MIB + 6_000_000)
    assert peak < 16 * MIB


def test_a_cancelled_search_ends_after_the_block_it_is_at(tmp_path):
    log = LogWriter(tmp_path, segment_bytes=64 * MIB, remember=False)
    log.write_sparse(8 * MIB)
    asked = []

    def cancelled():
        asked.append(None)
        return len(asked) == 3

    with pytest.raises(BgjobError) as caught:
        search(LogReader(log.log_dir), "x", cancelled=cancelled)
    assert caught.value.code is ErrorCode.CANCELLED
    assert len(asked) == 3


def test_output_that_comes_while_searching_does_not_make_the_search_endless(log):
    log.write(b"hit\n")

    def write_more():
        log.write(b"hit\n")
        return False

    assert search(LogReader(log.log_dir), "hit", cancelled=write_more).total == 1


@pytest.mark.parametrize("pattern", ["(", "[a", "*", "a{2,1}", r"\8", "(" * 500 + ")" * 500, "a{99999999999999999999}"])
def test_a_pattern_that_is_none_is_a_wrong_argument(log, pattern):
    with pytest.raises(BgjobError) as caught:
        search(LogReader(log.log_dir), pattern)
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


def test_a_missing_log_has_no_matches(tmp_path):
    assert search(LogReader(os.path.join(tmp_path, "none")), ".").total == 0


def test_colours_do_not_come_between_the_words_of_a_pattern(log):
    line = b"  \x1b[32m->\x1b[39m  \x1b[1mLocal\x1b[22m:   \x1b[36mhttp://localhost:\x1b[1m5173\x1b[22m/\x1b[39m"
    log.write(b"other\r\n" + line + b"\r\n\x1b]0;localhost:5173\x07other\n")
    for pattern in ("Local:", "localhost:5173/$", "^  ->"):
        assert lines_found(log, pattern) == [(2, line)]
    assert lines_found(log, r"\[36m") == [], "what nobody sees is not found"


def test_a_match_behind_many_colours_is_in_what_is_shown_of_a_long_line(log):
    line = b"\x1b[1mx\x1b[0m" * 2000 + b"needle" + b"y" * 9000
    log.write(line + b"\n")
    (match,) = search(LogReader(log.log_dir), "needle").matches
    assert b"needle" in match.line
    assert line[match.column :].startswith(match.line)
