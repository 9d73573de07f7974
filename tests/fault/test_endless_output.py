"""A job that writes far more than its cap: bounded disk, flat memory, exact head and tail, an exact gap."""

import os

import pytest

from bgjobd.protocol import Follow, Output
from tests.helpers.daemon import Daemon
from tests.helpers.submit import Jobs

MIB = 1 << 20
LINE = b"bgjob writes this line again and again\n"


def expected(start: int, size: int) -> bytes:
    """Return what stands at a place of the endless output."""
    phase = start % len(LINE)
    return (LINE * (size // len(LINE) + 2))[phase : phase + size]


def disk_bytes(directory: str) -> int:
    """Return what a log uses on disk, with its index."""
    return sum(entry.stat().st_blocks * 512 for entry in os.scandir(directory))


def memory_kib(pid: int) -> int:
    with open(f"/proc/{pid}/status") as file:
        return int(next(line for line in file if line.startswith("VmRSS")).split()[1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("written_bytes", "cap_bytes"),
    [(200 * MIB, 8 * MIB), pytest.param(5 << 30, 64 * MIB, marks=pytest.mark.soak)],
)
def test_output_beyond_the_cap_is_bounded_and_its_ends_are_exact(
    client, daemon: Daemon, env: dict[str, str], written_bytes: int, cap_bytes: int
) -> None:
    jobs = Jobs(client, env)
    jobs.finish("true")
    before = memory_kib(daemon.pid)
    job = jobs.run(f"yes '{LINE[:-1].decode()}' 2>/dev/null | head -c {written_bytes}", max_output_bytes=cap_bytes)
    ended = jobs.end(job, timeout_s=280)
    assert ended.exit_code == 0
    assert ended.output_bytes == written_bytes
    assert ended.kept_bytes + ended.dropped_bytes == written_bytes
    assert disk_bytes(f"{daemon.paths.job_dir(job.job_id)}/log") <= cap_bytes + 2 * MIB
    piece = min(MIB, cap_bytes // 16)  # the head is one segment, an eighth of the cap
    for start in (0, written_bytes - piece):
        reply = client.call(Output(job=job.job_id, since=start, max_bytes=piece))
        assert b"".join(run.data for run in reply.runs) == expected(start, piece)
        assert not reply.gaps
    gaps = [item.gap for item in client.stream(Follow(job=job.job_id)) if item.gap]
    assert len(gaps) == 1
    assert gaps[0].end - gaps[0].start == ended.dropped_bytes
    assert memory_kib(daemon.pid) - before < 8 * 1024
