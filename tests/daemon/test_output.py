"""output, tail, follow, search: what was written, exactly, from any cursor."""

import hashlib
import itertools
import os
import shutil
from functools import partial

import pytest

from bgjobd.errors import ErrorCode
from bgjobd.protocol import Follow, Keep, Output, Screen, Search, Send, Status, Stream, StreamRequest, Tail
from tests.helpers.daemon import Daemon
from tests.helpers.submit import Jobs

pytestmark = pytest.mark.shared


def data(reply) -> bytes:
    return b"".join(run.data for run in reply.runs)


def test_streams_are_kept_apart_and_together_in_order(jobs: Jobs) -> None:
    job = jobs.finish("echo a; sleep 0.05; echo B >&2; sleep 0.05; echo c")
    assert data(jobs.client.call(Output(job=job.job_id))) == b"a\nB\nc\n"
    assert data(jobs.client.call(Output(job=job.job_id, stream=Stream.STDOUT))) == b"a\nc\n"
    assert data(jobs.client.call(Output(job=job.job_id, stream=Stream.STDERR))) == b"B\n"


def test_a_cursor_continues_exactly_where_the_last_reply_ended(jobs: Jobs) -> None:
    job = jobs.finish("seq 1 1000")
    whole, cursor = b"", 0
    while True:
        reply = jobs.client.call(Output(job=job.job_id, since=cursor, max_bytes=100))
        assert reply.since == cursor
        whole += data(reply)
        if reply.cursor == reply.end:
            break
        cursor = reply.cursor
    assert whole == b"".join(b"%d\n" % number for number in range(1, 1001))


def test_over_the_budget_head_and_tail_are_kept_with_the_exact_gap(jobs: Jobs) -> None:
    job = jobs.finish("seq 1 1000")
    reply = jobs.client.call(Output(job=job.job_id, max_bytes=100, keep=Keep.HEAD_TAIL))
    covered = [(run.offset, run.offset + len(run.data)) for run in reply.runs] + [(g.start, g.end) for g in reply.gaps]
    covered.sort()
    assert covered[0][0] == 0
    assert covered[-1][1] == job.output_bytes
    assert all(left[1] == right[0] for left, right in itertools.pairwise(covered))
    assert {gap.reason for gap in reply.gaps} == {"budget"}
    gap = reply.gaps[0]
    middle = jobs.client.call(Output(job=job.job_id, since=gap.start, until=gap.end))
    assert len(data(middle)) == gap.end - gap.start


def test_invalid_utf8_comes_back_as_it_was_written(jobs: Jobs) -> None:
    job = jobs.finish(r"printf '\377\376ok\n\200'")
    assert data(jobs.client.call(Output(job=job.job_id))) == b"\xff\xfeok\n\x80"


def test_tail_returns_the_last_lines_of_either_stream(jobs: Jobs) -> None:
    job = jobs.finish("seq 1 500; seq 501 600 >&2; printf end")
    assert data(jobs.client.call(Tail(job=job.job_id, lines=2, stream=Stream.STDERR))) == b"599\n600\n"
    assert data(jobs.client.call(Tail(job=job.job_id, lines=1, stream=Stream.STDOUT))) == b"end"


@pytest.mark.parametrize("fields", [{"max_bytes": -1}, {"max_bytes": 1 << 40}, {"since": -1}, {"since": 5, "until": 4}])
def test_a_read_that_makes_no_sense_is_refused(jobs: Jobs, refused, fields: dict) -> None:
    job = jobs.finish("true")
    with refused(ErrorCode.INVALID_ARGUMENT):
        jobs.client.call(Output(job=job.job_id, **fields))


def test_follow_streams_until_the_job_has_ended_and_everything_was_sent(jobs: Jobs) -> None:
    job = jobs.run("read x; echo got $x; read y; echo got $y >&2; exit 2")
    stream = jobs.client.stream(Follow(job=job.job_id, split=True))
    from bgjobd.client import connect
    from bgjobd.paths import Paths

    with connect(Paths.from_environment(jobs.env), autostart=False) as other:
        other.call(Send(job=job.job_id, data=b"one\n"))
        first = next(stream)
        assert (first.run.data, first.run.stream) == (b"got one\n", Stream.STDOUT)
        other.call(Send(job=job.job_id, data=b"two\n"))
        rest = list(stream)
    assert [(item.run.data, item.run.stream) for item in rest] == [(b"got two\n", Stream.STDERR)]
    assert stream.reply.job.exit_code == 2
    assert stream.reply.cursor == 16


def test_follow_without_follow_ends_at_what_there_is_now(jobs: Jobs, workdir: str) -> None:
    from tests.helpers.waiting import wait_until

    job = jobs.run("echo now; sleep 300")
    wait_until(lambda: jobs.client.call(Status(jobs=[job.job_id])).jobs[0].output_bytes, "output")
    items = list(jobs.client.stream(Follow(job=job.job_id, follow=False)))
    assert b"".join(item.run.data for item in items) == b"now\n"


def test_a_large_output_comes_back_byte_exact(jobs: Jobs) -> None:
    job = jobs.finish(
        "head -c 50000000 /dev/urandom | tee /dev/stderr 2>sum >/dev/null; true", cwd=jobs.env["BGJOB_HOME"]
    )
    assert job.output_bytes == 0
    job = jobs.finish("cat sum", cwd=jobs.env["BGJOB_HOME"])
    digest, size = hashlib.sha256(), 0
    for item in jobs.client.stream(Follow(job=job.job_id)):
        digest.update(item.run.data)
        size += len(item.run.data)
    with open(f"{jobs.env['BGJOB_HOME']}/sum", "rb") as file:
        assert digest.digest() == hashlib.file_digest(file, "sha256").digest()
    assert size == job.output_bytes == 50_000_000


def test_output_beyond_the_cap_keeps_head_and_tail_and_states_the_gap(jobs: Jobs) -> None:
    job = jobs.finish("seq 1 300000", max_output_bytes=1 << 20)
    expected = b"".join(b"%d\n" % number for number in range(1, 300_001))
    assert job.output_bytes == len(expected)
    assert job.kept_bytes + job.dropped_bytes == job.output_bytes
    assert 0 < job.kept_bytes <= 1 << 20
    items = list(jobs.client.stream(Follow(job=job.job_id)))
    position = 0
    for item in items:
        if item.gap is not None:
            assert item.gap.start == position
            position = item.gap.end
        else:
            assert item.run.offset == position
            position += len(item.run.data)
            assert item.run.data == expected[item.run.offset : position]
    assert position == len(expected)
    assert sum(item.gap.end - item.gap.start for item in items if item.gap) == job.dropped_bytes


def test_search_finds_lines_with_numbers_cursors_and_context(jobs: Jobs) -> None:
    job = jobs.finish("seq 1 1000; echo Error: boom; seq 1 5")
    reply = jobs.client.call(Search(job=job.job_id, pattern="error: b", ignore_case=True, context=1))
    assert reply.total == 1
    match = reply.matches[0]
    assert (match.line_number, match.line, match.before, match.after) == (1001, b"Error: boom", [b"1000"], [b"1"])
    found = jobs.client.call(Output(job=job.job_id, since=match.cursor, max_bytes=6))
    assert data(found) == b"Error:"


def test_a_pattern_that_is_no_regular_expression_is_refused(jobs: Jobs, refused) -> None:
    job = jobs.finish("true")
    with refused(ErrorCode.INVALID_ARGUMENT):
        jobs.client.call(Search(job=job.job_id, pattern="("))


@pytest.mark.parametrize(
    "request_of", [Output, Tail, partial(Follow, follow=False), partial(Search, pattern="1"), Screen]
)
@pytest.mark.parametrize("damage", ["cut", "remove"])
def test_output_that_is_not_there_is_never_shown_as_all_there_was(
    daemon: Daemon, jobs: Jobs, refused, request_of, damage: str
) -> None:
    job = jobs.finish("seq 1 10")
    log_dir = f"{daemon.paths.job_dir(job.job_id)}/log"
    if damage == "remove":
        shutil.rmtree(log_dir)
    else:
        os.truncate(f"{log_dir}/{0:016x}.log", 5)
    with refused(ErrorCode.OUTPUT_GONE if damage == "remove" else ErrorCode.OUTPUT_DAMAGED) as error:
        ask(jobs, request_of(job=job.job_id))
    assert "it wrote 21 bytes" in error.value.message


def ask(jobs: Jobs, request) -> None:
    """Make a request; of one that streams, read everything."""
    if isinstance(request, StreamRequest):
        for _ in jobs.client.stream(request):
            continue
    else:
        jobs.client.call(request)
