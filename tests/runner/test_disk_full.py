"""A full disk: nothing is lost, somebody is told, and everything goes on by itself."""

import os
from collections.abc import Iterator

import pytest

from bgjobd.runner import control
from bgjobd.runner.logfile import list_segments
from tests.helpers.disks import mounted_disk
from tests.helpers.waiting import wait_gone, wait_until
from tests.runner.harness import Zygote, first

pytestmark = pytest.mark.root  # mounting is for root

MIB = 1 << 20


@pytest.fixture
def state_dir(state_dir: str) -> Iterator[str]:
    """A file system of 4 MiB."""
    with mounted_disk(state_dir, "size=4m,mode=0700"):
        yield state_dir


class Ballast:
    """A file that fills the disk up to the last byte."""

    def __init__(self, directory: str) -> None:
        self._path = os.path.join(directory, "ballast")
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT)
        try:
            for size in (MIB, 4096, 1):
                while _try_write(fd, bytes(size)):
                    continue
        finally:
            os.close(fd)

    def remove(self) -> None:
        os.unlink(self._path)


def _try_write(fd: int, data: bytes) -> bool:
    try:
        return os.write(fd, data) == len(data)
    except OSError:
        return False


def test_a_job_waits_for_space_and_loses_nothing(any_zygote: Zygote, state_dir: str) -> None:
    job = any_zygote.submit("read x; seq -w 1 100000; exit 3").wait_started()
    ballast = Ballast(state_dir)
    with job.control() as peer:
        watch = peer.ask(control.WATCH, offset=0)
        peer.write(b"\n")
        assert first(peer.answer(watch))["blocked"] == "disk full"
        assert (peer.status()["blocked"], peer.status()["state"]) == ("disk full", "running")
        ballast.remove()
        assert peer.call(control.WATCH, offset=1 << 40, blocked="disk full")["blocked"] == ""
    job.wait_ended()
    assert (job.code(), job.output()) == (3, b"".join(b"%06d\n" % n for n in range(1, 100_001)))


def test_a_job_that_fills_the_disk_itself_can_be_killed(any_zygote: Zygote) -> None:
    job = any_zygote.submit("exec seq 100000000").wait_started()
    with job.control() as peer:
        wait_until(lambda: peer.status()["blocked"], "the disk is full")
        assert first(peer.kill(actor="ann"))["status"] == "killed"
        assert not os.path.exists(f"/proc/{job.run().job_pid}")
        assert not job.has_exit()
        os.unlink(os.path.join(any_zygote.state_dir, "spare-space"))
    record = job.wait_ended()
    numbers = job.output().split(b"\n")[:-1]
    assert numbers == [b"%d" % n for n in range(1, len(numbers) + 1)]
    assert (record.reason, record.out_end) == ("user", len(job.output()))


@pytest.fixture(autouse=True)
def spare_space(state_dir: str) -> None:
    """Something to remove when space is needed."""
    with open(os.path.join(state_dir, "spare-space"), "wb") as file:
        file.write(bytes(MIB))


def test_an_exit_record_that_cannot_be_written_is_written_later(zygote: Zygote, state_dir: str) -> None:
    job = zygote.submit("read x; exit 5").wait_started()
    ballast = Ballast(state_dir)
    with job.control() as peer:
        watch = peer.ask(control.WATCH, offset=0)
        peer.write(b"\n")
        assert first(peer.answer(watch))["state"] == "draining"
        wait_until(lambda: peer.status()["blocked"] == "disk full", "the runner says why it waits")
        assert not job.has_exit()
        ballast.remove()
    record = job.wait_ended()
    assert (job.code(), record.reason) == (5, "exit")


def test_below_the_floor_only_head_and_newest_segment_are_kept(zygote: Zygote) -> None:
    lines = 2_000_000
    job = zygote.run(f"seq -w 1 {lines}", max_output_bytes=2 * MIB, free_space_floor_bytes=3 * MIB)
    segments = list_segments(job.log_dir)
    record = job.exit()
    assert (record.reason, record.out_end) == ("exit", lines * 8)
    assert [segments[0].start, segments[-1].end] == [0, lines * 8]
    assert len(segments) <= 3
    kept = sum(segment.end - segment.start for segment in segments)
    assert record.dropped_bytes == lines * 8 - kept


def test_a_full_disk_makes_a_log_shrink_before_anybody_waits(zygote: Zygote, state_dir: str) -> None:
    """The cap alone would allow more than the disk has."""
    lines = 1_000_000
    job = zygote.run(f"seq -w 1 {lines}", max_output_bytes=8 * MIB, free_space_floor_bytes=64 << 10)
    segments = list_segments(job.log_dir)
    assert (job.exit().out_end, segments[0].start, segments[-1].end) == (lines * 8, 0, lines * 8)
    assert 0 < job.exit().dropped_bytes < lines * 8


def test_the_last_words_of_a_job_that_ends_on_a_full_disk_are_kept(any_zygote: Zygote, state_dir: str) -> None:
    job = any_zygote.submit("read x; seq -w 1 100; exit 3").wait_started()
    ballast = Ballast(state_dir)
    with job.control() as peer:
        watch = peer.ask(control.WATCH, offset=0)
        peer.write(b"\n")
        assert first(peer.answer(watch))["blocked"] == "disk full"
        wait_gone(job.run().job_pid)
        ballast.remove()
        record = job.wait_ended()
    assert (job.code(), record.out_end) == (3, 400)
    assert job.text().split() == [f"{number:03}" for number in range(1, 101)]
