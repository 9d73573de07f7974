"""The log of a job: every byte, in order, within its cap; and nothing a job does to its streams can hurt it."""

import hashlib
import itertools
import os
import re
import sys

import pytest

from bgjobd.runner.logfile import KIND_STDERR, KIND_STDOUT, list_segments
from tests.helpers.waiting import wait_until
from tests.runner.harness import Zygote

MIB = 1 << 20


def _fill(size: int) -> list[str]:
    """A job that writes `size` reproducible bytes, and on stderr their checksum."""
    code = (
        "import hashlib, os, random, sys\n"
        f"rng, left, total = random.Random(7), {size}, hashlib.sha256()\n"
        "block = rng.randbytes(1 << 20)\n"
        "while left:\n"
        "    part = block[: min(left, rng.randrange(1, 1 << 18))]\n"
        "    os.write(1, part) == len(part) or sys.exit(9)\n"
        "    total.update(part)\n"
        "    left -= len(part)\n"
        "os.write(2, total.hexdigest().encode())\n"
    )
    return [sys.executable, "-I", "-S", "-c", code]


@pytest.mark.slow
def test_a_few_hundred_megabytes_arrive_byte_for_byte(zygote: Zygote) -> None:
    size = 300 * MIB
    job = zygote.run(_fill(size), max_output_bytes=1 << 30)
    digest = hashlib.sha256()
    for segment in list_segments(job.log_dir):
        with open(os.path.join(job.log_dir, f"{segment.start:016x}.log"), "rb") as file:
            digest.update(file.read())
        if segment.end == size + 64:
            with open(os.path.join(job.log_dir, f"{segment.start:016x}.log"), "rb") as file:
                checksum = file.read()[-64:]
    # the checksum was written to stderr after everything else: take it off again
    data = hashlib.sha256(job.output()[:-64]).hexdigest()
    assert (job.code(), job.exit().out_end, data) == (0, size + 64, checksum.decode())


def test_the_portable_pump_is_byte_exact_too(portable_zygote: Zygote) -> None:
    size = 20 * MIB
    job = portable_zygote.run(_fill(size))
    output = job.output()
    assert (job.code(), len(output)) == (0, size + 64)
    assert hashlib.sha256(output[:-64]).hexdigest() == output[-64:].decode()


def test_the_index_tells_the_streams_apart(any_zygote: Zygote) -> None:
    job = any_zygote.submit("echo one; read x; echo two >&2; read x; echo three").wait_started()
    with job.control() as peer:
        job.wait_output("one\n")
        peer.write(b"\n")
        job.wait_output("two\n")
        peer.write(b"\n")
    job.wait_ended()
    assert job.runs() == [(0, KIND_STDOUT), (4, KIND_STDERR), (8, KIND_STDOUT)]
    assert (job.stream(KIND_STDOUT), job.stream(KIND_STDERR)) == (b"one\nthree\n", b"two\n")


def test_both_streams_are_complete_whatever_their_order(any_zygote: Zygote) -> None:
    job = any_zygote.run("for i in $(seq 2000); do echo out $i; echo err $i >&2; done")
    assert job.stream(KIND_STDOUT).decode().splitlines() == [f"out {n}" for n in range(1, 2001)]
    assert job.stream(KIND_STDERR).decode().splitlines() == [f"err {n}" for n in range(1, 2001)]


def test_with_one_pipe_the_order_of_the_streams_is_exact(zygote: Zygote) -> None:
    job = zygote.run("for i in $(seq 2000); do echo out $i; echo err $i >&2; done", merge_stderr=True)
    expected = [line for n in range(1, 2001) for line in (f"out {n}", f"err {n}")]
    assert job.text().splitlines() == expected
    assert {kind for _, kind in job.runs()} == {KIND_STDOUT}


def test_opening_dev_stderr_truncates_nothing(zygote: Zygote) -> None:
    script = "echo one; echo two; echo three >/dev/stderr; echo four; echo five >/dev/stdout; echo six"
    job = zygote.run(script, merge_stderr=True)
    assert job.text().split() == ["one", "two", "three", "four", "five", "six"]


def test_a_job_that_writes_nothing_has_an_empty_log(zygote: Zygote) -> None:
    job = zygote.run("true")
    assert (job.output(), job.runs(), job.exit().out_end) == (b"", [], 0)


def test_a_slow_job_gets_one_index_record_for_each_time_slot(zygote: Zygote) -> None:
    job = zygote.submit("while read x; do echo $x; done").wait_started()
    with job.control() as peer:
        for number in range(20):
            peer.write(b"%d\n" % number)
            job.wait_output(f"{number}\n")
        peer.call(5 - 1)  # CLOSE_STDIN
    job.wait_ended()
    offsets = [offset for offset, _ in job.runs()]
    assert offsets == sorted(set(offsets))
    assert offsets[0] == 0
    assert 1 <= len(offsets) <= 20


def test_beyond_the_cap_the_middle_goes_and_the_gap_is_exact(any_zygote: Zygote) -> None:
    cap = 256 << 10
    job = any_zygote.run("seq -w 1 400000", max_output_bytes=cap)  # 7 bytes a line
    total = 400_000 * 7
    segments = list_segments(job.log_dir)
    kept = sum(segment.end - segment.start for segment in segments)
    record = job.exit()
    assert (record.out_end, record.dropped_bytes) == (total, total - kept)
    assert cap // 2 <= kept <= cap
    assert (segments[0].start, segments[-1].end) == (0, total)
    gaps = [(a.end, b.start) for a, b in itertools.pairwise(segments) if a.end != b.start]
    assert len(gaps) == 1
    assert gaps[0][1] - gaps[0][0] == record.dropped_bytes
    for segment in segments:  # every offset still means what it always meant
        with open(os.path.join(job.log_dir, f"{segment.start:016x}.log"), "rb") as file:
            line = segment.start // 7 + 1
            assert file.read(14)[7 - segment.start % 7 :][:6] == b"%06d" % (line + 1)
        assert os.path.exists(os.path.join(job.log_dir, f"{segment.start:016x}.idx"))


def test_the_index_counts_for_the_cap(zygote: Zygote) -> None:
    code = "import os\nfor n in range(20000):\n os.write(1, b'o')\n os.write(2, b'e')\n"
    cap = 64 << 10
    job = zygote.run([sys.executable, "-I", "-S", "-c", code], max_output_bytes=cap)
    used = sum(os.path.getsize(os.path.join(job.log_dir, name)) for name in os.listdir(job.log_dir))
    assert used <= cap + 64


def test_a_job_that_is_killed_in_mid_write_keeps_what_it_wrote(any_zygote: Zygote) -> None:
    job = any_zygote.submit("seq -w 1 200000; kill -9 $$; seq 3")
    record = job.wait_ended()
    assert (job.code(), record.reason) == (-9, "signal")
    assert job.output() == b"".join(b"%06d\n" % n for n in range(1, 200_001))


def test_the_end_does_not_wait_for_somebody_else_who_holds_the_pipe(zygote: Zygote, state_dir: str) -> None:
    """The escapee is no descendant: it got the descriptor by opening /proc/PID/fd/1, as a debugger might."""
    job = zygote.submit("echo $$; read x").wait_started()
    job.wait_output("\n")
    held = os.open(f"/proc/{int(job.text())}/fd/1", os.O_WRONLY)
    try:
        with job.control() as peer:
            peer.write(b"\n")
        record = job.wait_ended()
        assert (record.streams_open, record.left, job.code()) == (True, 0, 0)
        job.wait_runner_gone()
    finally:
        os.close(held)


def test_a_closed_stdout_does_not_end_the_job(zygote: Zygote) -> None:
    job = zygote.submit("exec >&- 2>&-; read x; exit 5").wait_started()
    wait_until(lambda: _open_reads(job.run().runner_pid) == 0, "the runner has seen both streams end")
    with job.control() as peer:
        assert peer.status()["state"] == "running"
        peer.write(b"\n")
    job.wait_ended()
    assert job.code() == 5


def _open_reads(pid: int) -> int:
    """How many read ends of pipes a runner has, besides its wake-up pipe."""
    count = -1
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            with open(f"/proc/{pid}/fdinfo/{name}") as file:
                flags = int(re.search(r"flags:\s*(\d+)", file.read())[1], 8)
            is_pipe = os.readlink(f"/proc/{pid}/fd/{name}").startswith("pipe:")
        except FileNotFoundError:
            continue  # closed since
        count += is_pipe and flags & os.O_ACCMODE == os.O_RDONLY
    return count


@pytest.mark.parametrize("size", [1, 4096, 65536, 65537, 1 << 20])
def test_output_of_any_size_is_complete_when_the_job_ends(zygote: Zygote, size: int) -> None:
    job = zygote.run(f"head -c {size} /dev/zero")
    assert (job.exit().out_end, len(job.output())) == (size, size)
