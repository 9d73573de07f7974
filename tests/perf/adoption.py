"""A new daemon: what it takes over, how soon it answers, and that many jobs at once all end right."""

import os
import shutil
from collections.abc import Iterator

from bgjobd.protocol import JobInfo, JobReply, ListJobs, Wait
from tests.helpers.procs import children_of, descriptors_of, zombies_of
from tests.perf.bench import Bench
from tests.perf.instance import Instance, fill_history, instance, pause
from tests.perf.measure import exactly, in_turns, of, timed
from tests.perf.targets import Result

_SETTLE_S = 1.0


def measure(bench: Bench) -> Iterator[Result]:
    """Measure every row of this group."""
    yield from _live(bench)
    yield from _ended(bench)
    yield from _rebuild(bench)
    yield from _many(bench)


def start_s(running: Instance) -> float:
    """Kill the daemon and return how long a new one takes until it says that it is ready."""
    running.kill()
    return timed(running.daemon.start)


def start_live_jobs(running: Instance, count: int) -> None:
    """Start jobs that only sleep."""
    submit = running.submit(["/bin/sleep", "1000"])
    with running.raw() as raw:
        for start in range(0, count, 200):
            batch = range(start + 1, min(start + 200, count) + 1)
            for number in batch:
                raw.call(number, submit)
            for _ in batch:
                raw.answer()


def _live(bench: Bench) -> Iterator[Result]:
    count = 1000 if bench.is_full else 100
    with instance(max_jobs=2000) as without, instance(max_jobs=2000) as running:
        start_live_jobs(running, count)
        pause(_SETTLE_S)
        empty, full = in_turns(bench.rounds(11, least=3), lambda: start_s(without), lambda: start_s(running))
        found = running.client.call(ListJobs(limit=2 * count, ended=False)).total
        assert found == count, f"{found} of {count} were adopted"
    value = of([(ours - theirs) * 1e3 for ours, theirs in zip(full, empty, strict=True)])
    yield Result("adoption.live", value, "", f"{count} jobs; start {of(empty).middle * 1e3:.0f} ms without any")


def _ended(bench: Bench) -> Iterator[Result]:
    with instance() as running:
        like = running.finish("echo like")
        running.stop()
        fill_history(running.daemon.paths.history_db, 100_000, like)
        running.daemon.start()

        def after_stop() -> float:
            running.stop()
            return timed(running.daemon.start)

        stopped, killed = in_turns(bench.rounds(5, least=3), after_stop, lambda: start_s(running))
    yield Result("adoption.ended", of(stopped) / 1e-3, "", f"after kill -9: {of(killed).middle * 1e3:.0f} ms")


def _rebuild(bench: Bench) -> Iterator[Result]:
    count = 2000
    with instance() as running:
        job = running.finish("echo like")
        running.stop()
        for number in range(count):
            _copy_directory(running, job, number)
        samples = []
        for _ in range(3):
            for suffix in ("", "-wal", "-shm"):
                if os.path.exists(running.daemon.paths.history_db + suffix):
                    os.unlink(running.daemon.paths.history_db + suffix)
            samples.append(timed(running.daemon.start))
            running.stop()
    yield Result("adoption.rebuild", of(samples) / 1e-3)


def _copy_directory(running: Instance, job: JobInfo, number: int) -> None:
    paths = running.daemon.paths
    job_id = f"{number:08x}-0000-4000-8000-000000000000"
    target = paths.job_dir(job_id)
    shutil.copytree(paths.job_dir(job.job_id), target)
    spec = os.path.join(target, "spec")
    with open(spec, "rb") as file:
        text = file.read()
    with open(spec, "wb") as file:
        file.write(text.replace(job.job_id.encode(), job_id.encode()))


def _many(bench: Bench) -> Iterator[Result]:
    """Every job has its own exit code and output, and both have to come back."""
    with instance(max_jobs=2000) as running:
        running.finish("echo warm")
        pause(_SETTLE_S)
        before = _open_things(running)
        right = _all_at_once(running, 1000 if bench.is_full else 200)
        yield Result("adoption.thousand", exactly(right if bench.is_full else right * 5))
        yield Result("adoption.burst", exactly(_all_at_once(running, 300)))
        pause(_SETTLE_S)
        left = [after - then for after, then in zip(_open_things(running), before, strict=True)]
        yield Result("adoption.left", exactly(sum(left)), "", "descriptors {}, zombies {}, sockets {}".format(*left))


def _all_at_once(running: Instance, count: int) -> int:
    """Let `count` jobs run at the same time: they end when the last one has started. Return how many ended right."""
    import msgspec

    gate = os.path.join(running.home, "gate")
    os.mkfifo(gate)  # to open it waits for a writer, and uses no processor
    jobs = []
    with running.raw() as raw:
        for start in range(0, count, 250):
            batch = range(start, min(start + 250, count))
            for number in batch:
                command = f"echo {number}; : <{gate}; exit {number % 100}"
                raw.call(number + 1, running.submit(command))
            for _ in batch:
                answer = raw.answer()
                job = msgspec.msgpack.decode(answer.body, type=JobReply).job
                jobs.append((answer.id - 1, job.job_id))
    with open(gate, "r+b", buffering=0):
        ended = running.client.call(Wait(jobs=[job_id for _, job_id in jobs])).jobs
    os.unlink(gate)
    return sum(
        job.exit_code == number % 100 and job.output_bytes == len(f"{number}\n")
        for (number, _), job in zip(jobs, ended, strict=True)
    )


def _open_things(running: Instance) -> tuple[int, int, int]:
    """Return how many descriptors, zombies (daemon and zygote) and sockets there are, but for those of spares.

    Two to four spares wait for jobs at any time, and the zygote keeps three descriptors for each.
    """
    pids = (running.daemon.pid, running.zygote_pid())
    return (
        sum(len(descriptors_of(pid)) for pid in pids) - 3 * len(children_of(running.zygote_pid())),
        sum(len(zombies_of(pid)) for pid in pids),
        len(os.listdir(running.daemon.paths.runtime_dir)),
    )
