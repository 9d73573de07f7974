"""Capturing output: what a job's pipe, runner and log cost, against the same program writing straight to a file."""

import os
import shutil
from collections.abc import Iterator

from bgjobd.protocol import Remove
from tests.helpers.procs import Process, children_of
from tests.helpers.waiting import wait_until
from tests.perf.bench import Bench
from tests.perf.instance import MIB, Instance, cpu_s, instance
from tests.perf.measure import in_turns, of, timed
from tests.perf.start import submit_all
from tests.perf.targets import Result

_CROWD = 200


def measure(bench: Bench) -> Iterator[Result]:
    """Measure every row of this group."""
    with instance(max_jobs=1000) as running:
        yield from _big(bench, running)
        yield from _lines(bench, running)
        yield from _crowd(bench, running)


def _big(bench: Bench, running: Instance) -> Iterator[Result]:
    size = 1024 * MIB if bench.is_full else 128 * MIB
    argv = ["/usr/bin/head", "-c", str(size), "/dev/zero"]
    floors, jobs = in_turns(
        bench.rounds(5, least=3), lambda: timed(lambda: _to_file(running, argv)), lambda: _job(running, argv, size)
    )
    told = f"{size / MIB / of(jobs).middle:.0f} against {size / MIB / of(floors).middle:.0f} MiB/s"
    yield Result("capture.big", of([floor / job for job, floor in zip(jobs, floors, strict=True)]), "to a file", told)


def _lines(bench: Bench, running: Instance) -> Iterator[Result]:
    """Whole-system CPU: the writer's and, for a job, also that of its runner, the zygote and the daemon."""
    count = 2_000_000 if bench.is_full else 200_000
    argv = [bench.probe.path, "lines", str(count)]
    used: dict[str, list[float]] = {"job": [], "floor": []}

    def floor() -> float:
        before = _children_cpu_s()
        seconds = timed(lambda: _to_file(running, argv))
        used["floor"].append(_children_cpu_s() - before)
        return seconds

    def job() -> float:
        pids = (running.daemon.pid, running.zygote_pid())
        before = cpu_s(*pids)
        seconds = _job(running, argv, count * 60)
        wait_until(lambda: not _runners(pids[1]), "the end of the runner: what it used counts once it was reaped")
        used["job"].append(cpu_s(*pids) - before)
        return seconds

    floors, jobs = in_turns(bench.rounds(5, least=3), floor, job)
    rate = count * 60 / MIB
    told = f"{rate / of(jobs).middle:.0f} against {rate / of(floors).middle:.0f} MiB/s"
    yield Result("capture.lines", of([floor / job for job, floor in zip(jobs, floors, strict=True)]), "to a file", told)
    cpu = of([ours / theirs for ours, theirs in zip(used["job"], used["floor"], strict=True)])
    told = f"{of(used['job']).middle:.2f} s against {of(used['floor']).middle:.2f} s"
    yield Result("capture.lines_cpu", cpu, "to a file", told)


def _crowd(bench: Bench, running: Instance) -> Iterator[Result]:
    """Many jobs at once on few processors; their start counts as well, for both."""
    lines = [bench.probe.path, "lines", "10000" if bench.is_full else "1000"]
    blocks = 400 if bench.is_full else 40
    big = ["/bin/dd", "if=/dev/zero", "bs=16k", f"count={blocks}", "status=none"]
    for key, argv in (("capture.crowd_lines", lines), ("capture.crowd_big", big)):
        floors, jobs = in_turns(
            bench.rounds(3, least=1),
            lambda argv=argv: timed(lambda: _crowd_to_files(running, argv)),
            lambda argv=argv: timed(lambda: _crowd_of_jobs(running, argv)),
        )
        told = f"{of(jobs).middle:.2f} s against {of(floors).middle:.2f} s"
        yield Result(key, of([job / floor for job, floor in zip(jobs, floors, strict=True)]), "to files", told)


def _to_file(running: Instance, argv: list[str]) -> None:
    path = os.path.join(running.home, "direct")
    os.waitpid(_spawn_to(path, argv, running.env), 0)
    os.unlink(path)


def _spawn_to(path: str, argv: list[str], env: dict[str, str]) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawn(argv[0], argv, env, file_actions=[(os.POSIX_SPAWN_OPEN, 1, path, flags, 0o600)])


def _job(running: Instance, argv: list[str], size: int) -> float:
    """Return how long a job takes whose whole output is kept; check that it is all there, and remove it."""
    submit = running.submit(argv, max_output_bytes=2 * size + 65_536, wait_s=600)
    reply = []
    seconds = timed(lambda: reply.append(running.client.call(submit)))
    assert reply[0].job.kept_bytes == size, reply[0].job
    running.client.call(Remove(jobs=[reply[0].job.job_id]))
    return seconds


def _crowd_to_files(running: Instance, argv: list[str]) -> None:
    directory = os.path.join(running.home, "crowd")
    os.mkdir(directory)
    pids = [_spawn_to(os.path.join(directory, str(number)), argv, running.env) for number in range(_CROWD)]
    for pid in pids:
        os.waitpid(pid, 0)
    shutil.rmtree(directory)


def _crowd_of_jobs(running: Instance, argv: list[str]) -> None:
    with running.raw() as raw:
        submit_all(raw, running.submit(argv, wait_s=600), _CROWD)


def _runners(zygote_pid: int) -> list[Process]:
    return [child for child in children_of(zygote_pid) if child.name == "bgjob-runner"]


def _children_cpu_s() -> float:
    times = os.times()
    return times.children_user + times.children_system
