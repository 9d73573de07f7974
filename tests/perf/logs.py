"""Reading large logs: their end, all of them, and by many at once while they are written."""

import contextlib
import os
import select
import shutil
import time
from collections.abc import Iterator

from bgjobd.protocol import Follow, JobInfo, Tail, Wait
from tests.helpers.log_writer import LogWriter
from tests.helpers.procs import memory_of
from tests.helpers.waiting import DEADLINE_S
from tests.perf.bench import Bench
from tests.perf.instance import MIB, Instance, instance
from tests.perf.measure import Value, exactly, in_turns, of, p50, timed
from tests.perf.targets import Result

FOLLOWERS = 50
_SEGMENT_BYTES = 64 * MIB
_LINE = b"a line of sixty bytes at the end of a log that was long  ..\n"


def measure(bench: Bench) -> Iterator[Result]:
    """Measure every row of this group."""
    with instance() as running:
        yield from _tail(bench, running)
        yield from _output(bench, running)
        yield from _followers(bench, running)


def job_with_log(running: Instance, size: int) -> JobInfo:
    """Return an ended job whose log has `size` bytes, all but the end of it without taking space on the disk."""
    job = running.finish("echo short")
    log_dir = os.path.join(running.daemon.paths.job_dir(job.job_id), "log")
    shutil.rmtree(log_dir)
    writer = LogWriter(log_dir, segment_bytes=_SEGMENT_BYTES, remember=False)
    lines = _LINE * min(20_000, size // (2 * len(_LINE)))
    writer.write_sparse(size - len(lines))
    writer.write(lines)
    return job


def _tail(bench: Bench, running: Instance) -> Iterator[Result]:
    job = job_with_log(running, 10 * 10**9 if bench.is_full else 10**9)
    before = memory_of(running.daemon.pid)
    request = Tail(job=job.job_id, lines=50)
    samples = [timed(lambda: running.client.call(request)) for _ in range(bench.rounds(200))]
    grown = memory_of(running.daemon.pid) - before
    middle, low, high = (part * 1e3 for part in (p50(samples).middle, p50(samples).low, p50(samples).high))
    yield Result("logs.tail", Value(middle, low, high))
    yield Result("logs.tail_memory", exactly(max(0, grown) / MIB))


def _output(bench: Bench, running: Instance) -> Iterator[Result]:
    """Read a whole log with the blocking client, against a bare copy of the same files through a socket pair."""
    size = 1024 * MIB if bench.is_full else 256 * MIB
    job = running.finish(["/usr/bin/head", "-c", str(size), "/dev/zero"], max_output_bytes=2 * size)

    def read_all() -> float:
        received = 0

        def follow() -> None:
            nonlocal received
            for item in running.client.stream(Follow(job=job.job_id, follow=False)):
                received += len(item.run.data) if item.run else 0

        seconds = timed(follow)
        assert received == size
        return size / MIB / seconds

    log_dir = os.path.join(running.daemon.paths.job_dir(job.job_id), "log")
    floors, rates = in_turns(bench.rounds(5, least=3), lambda: size / MIB / copy_s(log_dir), read_all)
    told = f"sendfile through a socket: {of(floors).middle:.0f} MiB/s"
    yield Result("logs.output", of(rates), "", told)


def copy_s(log_dir: str) -> float:
    """Return how long it takes to sendfile(2) all segments to another process through a socket, 1 MiB at a time."""
    import socket

    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        buffer = bytearray(256 << 10)
        while theirs.recv_into(buffer):
            pass
        os._exit(0)
    theirs.close()

    def copy() -> None:
        with ours:
            for name in sorted(os.listdir(log_dir)):
                if name.endswith(".log"):
                    with open(os.path.join(log_dir, name), "rb") as file:
                        ours.sendfile(file)
        os.waitpid(pid, 0)

    return timed(copy)


def _followers(bench: Bench, running: Instance) -> Iterator[Result]:
    size = 64 * MIB if bench.is_full else 8 * MIB
    before = memory_of(running.daemon.pid)
    rates = [_follow_together(running, size) for _ in range(bench.rounds(3, least=2))]
    grown = memory_of(running.daemon.pid) - before
    yield Result("logs.followers", of(rates), "", f"{size // MIB} MiB to each of {FOLLOWERS}")
    yield Result("logs.followers_memory", exactly(max(0, grown) / MIB))


def _follow_together(running: Instance, size: int) -> float:
    """Return how many MiB/s all followers of one job receive together, from its first byte to its last."""
    job = running.run(f"read go; exec head -c {size} /dev/zero", max_output_bytes=2 * size)
    with contextlib.ExitStack() as stack:
        followers = [stack.enter_context(running.raw()) for _ in range(FOLLOWERS)]
        for follower in followers:
            follower.call(1, Follow(job=job.job_id))
        left = dict.fromkeys((follower.socket.fileno() for follower in followers), size)
        _send_go(running, job)
        start = time.perf_counter()
        _receive_all(left)
        seconds = time.perf_counter() - start
    running.client.call(Wait(jobs=[job.job_id]))
    return FOLLOWERS * size / MIB / seconds


def _send_go(running: Instance, job: JobInfo) -> None:
    from bgjobd.protocol import Send

    running.client.call(Send(job=job.job_id, data=b"\n"))


def _receive_all(left: dict[int, int]) -> None:
    """Receive until each descriptor has had at least as many bytes as it says; what frames cost comes on top."""
    buffer = bytearray(1 << 20)
    poll = select.poll()
    for fd in left:
        poll.register(fd, select.POLLIN)
    while left:
        ready = poll.poll(DEADLINE_S * 1000)
        assert ready, f"{len(left)} followers get nothing any more"
        for fd, _ in ready:
            left[fd] -= os.readv(fd, [buffer])
            if left[fd] <= 0:
                poll.unregister(fd)
                del left[fd]
