"""Starting jobs: from the request to the first instruction of the command, and jobs from their start to their end."""

import os
from collections.abc import Iterator

from bgjobd.protocol import Submit
from tests.helpers.raw import Raw
from tests.perf.bench import Bench
from tests.perf.instance import BETWEEN_JOBS_S, Instance, instance, pause
from tests.perf.measure import Value, in_turns, of, p50, quantile, ratio, timed
from tests.perf.stamps import Stamps
from tests.perf.targets import Result

_TRUE = ["/bin/true"]


def measure(bench: Bench) -> Iterator[Result]:
    """Measure every row of this group."""
    with instance() as running:
        yield from _latency(bench, running)
        yield from _to_the_end(bench, running)
        yield from _rates(bench, running)


def _latency(bench: Bench, running: Instance) -> Iterator[Result]:
    """Alternate a bare posix_spawn and a request; both run `sh -c`, whose command says when its first line ran."""
    with Stamps(running.home) as stamps, running.raw() as raw:
        command = f"exec {bench.probe.path} stamp {stamps.path}"
        submit = running.submit(command)
        argv, env = ["/bin/sh", "-c", command], running.env
        number = 0

        def floor() -> float:
            pause(BETWEEN_JOBS_S)
            start = stamps.now()
            pid = os.posix_spawn(argv[0], argv, env)
            stamp = stamps.next()
            os.waitpid(pid, 0)
            return stamp - start

        def start_job(*, settle: bool) -> float:
            nonlocal number
            number += 1
            if settle:
                pause(BETWEEN_JOBS_S)
            start = stamps.now()
            raw.call(number, submit)
            stamp = stamps.next()
            raw.answer()
            return stamp - start

        def at_rest() -> float:
            return start_job(settle=True)

        def at_once() -> float:
            return start_job(settle=False)

        in_turns(5, floor, at_rest)
        floors, jobs, busy = in_turns(bench.rounds(250), floor, at_rest, at_once)
    middle = p50(floors).middle
    told = f"{p50(jobs).middle * 1e3:.2f} ms against {middle * 1e3:.2f} ms"
    yield Result("start.sh", ratio(jobs, floors), "posix_spawn of the same", told)
    high, floor_high = quantile(jobs, 0.99), quantile(floors, 0.99)
    slow = f"{high * 1e3:.2f} ms against {floor_high * 1e3:.2f} ms"
    yield Result("start.sh_p99", of([high / floor_high]), "posix_spawn of the same", slow)
    yield Result("start.busy", ratio(busy, floors), "posix_spawn of the same")


def _to_the_end(bench: Bench, running: Instance) -> Iterator[Result]:
    def floor() -> float:
        return timed(lambda: os.waitpid(os.posix_spawn(_TRUE[0], _TRUE, running.env), 0))

    submit = running.submit(_TRUE, wait_s=30)

    def job() -> float:
        pause(BETWEEN_JOBS_S)
        return timed(lambda: running.client.call(submit))

    floors, jobs = in_turns(bench.rounds(100), floor, job)
    told = f"posix_spawn and wait: {p50(floors).middle * 1e3:.2f} ms"
    yield Result("start.true", Value(*(part * 1e3 for part in _parts(p50(jobs)))), "", told)


def _rates(bench: Bench, running: Instance) -> Iterator[Result]:
    count = 200
    submit = running.submit(_TRUE, wait_s=30)

    def floor() -> float:
        def run_all() -> None:
            for _ in range(count):
                os.waitpid(os.posix_spawn(_TRUE[0], _TRUE, running.env), 0)

        return count / timed(run_all)

    def serial() -> float:
        def run_all() -> None:
            for _ in range(count):
                running.client.call(submit)

        return count / timed(run_all)

    def burst() -> float:
        with running.raw() as raw:
            return count / timed(lambda: submit_all(raw, submit, count))

    floors, one_by_one, at_once = in_turns(bench.rounds(5, least=2), floor, serial, burst)
    told = f"posix_spawn and wait: {of(floors).middle:.0f}/s"
    yield Result("start.serial", of(one_by_one), "", told)
    yield Result("start.burst", of(at_once), "", told)


def submit_all(raw: Raw, submit: Submit, count: int) -> None:
    """Submit the same job `count` times at once, and return when all have ended: `submit` says that it waits."""
    for number in range(1, count + 1):
        raw.call(number, submit)
    for _ in range(count):
        raw.answer()


def _parts(value: Value) -> tuple[float, float, float]:
    return value.middle, value.low, value.high
