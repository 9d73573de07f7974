"""How costs grow: with the number of jobs, with the size of the output, and with the number of clients."""

import contextlib
from collections.abc import Callable, Iterator

from bgjobd.protocol import Follow, ListJobs, Ping, Status, Tail
from tests.helpers.procs import memory_of
from tests.perf.adoption import start_live_jobs
from tests.perf.bench import Bench
from tests.perf.instance import MIB, Instance, instance, pause
from tests.perf.logs import job_with_log
from tests.perf.measure import p50, timed
from tests.perf.questions import ping_rate, questions, with_history
from tests.perf.targets import Curve

_ENDED = (10, 100, 1000, 10_000, 100_000)
_RUNNING = (10, 100, 1000)
_SIZES_MIB = (1, 10, 100, 1024, 10_240)
_CLIENTS = (1, 10, 50, 200)
_SETTLE_S = 0.5
_READ_LIMIT_MIB = 1024  # larger logs are not read as a whole: what a mebibyte costs is known by then

Points = dict[str, list[tuple[float, float]]]


def measure(bench: Bench) -> Iterator[Curve]:
    """Measure every curve."""
    for plot, measured in (
        ("ended", _with_ended(bench)),
        ("running", _with_running(bench)),
        ("output", _with_output(bench)),
        ("clients", _with_clients(bench)),
    ):
        for line, points in measured.items():
            yield Curve(plot, line, points)


def _ask(bench: Bench, ask: Callable[[], object]) -> float:
    """Return the median time of a question in milliseconds."""
    ask()
    return p50([timed(ask) for _ in range(bench.rounds(100))]).middle * 1e3


def _put(points: Points, x: float, values: dict[str, float]) -> None:
    for line, y in values.items():
        points.setdefault(line, []).append((x, y))


def _with_ended(bench: Bench) -> Points:
    points: Points = {}
    for count in _ENDED if bench.is_full else _ENDED[:3]:
        with with_history(count) as running:
            values = {f"{name}": _ask(bench, ask) for name, ask in questions(running).items()}
            values["run `true`"] = _ask_true(bench, running)
            running.stop()
            values["start of the daemon"] = timed(running.daemon.start) * 1e3
        _put(points, count, values)
    return points


def _with_running(bench: Bench) -> Points:
    points: Points = {}
    for count in _RUNNING if bench.is_full else _RUNNING[:2]:
        with instance(max_jobs=2000) as running:
            running.finish("i=0; while [ $i -lt 1000 ]; do i=$((i+1)); echo line $i; done", name="real")
            start_live_jobs(running, count)
            pause(_SETTLE_S)
            values = {f"{name}": _ask(bench, ask) for name, ask in questions(running).items()}
            values["list of all"] = _ask(bench, lambda count=count: running.client.call(ListJobs(limit=count)))
            values["run `true`"] = _ask_true(bench, running)
            _put(points, count, values)
    return points


def _ask_true(bench: Bench, running: Instance) -> float:
    submit = running.submit(["/bin/true"], wait_s=30)

    def ask() -> object:
        pause(0.01)
        return running.client.call(submit)

    return _ask(bench, ask) - 10


def _with_output(bench: Bench) -> Points:
    points: Points = {}
    with instance() as running:
        for size in _SIZES_MIB if bench.is_full else _SIZES_MIB[:3]:
            job = job_with_log(running, size * MIB).job_id
            values = {
                "status": _ask(bench, lambda job=job: running.client.call(Status(jobs=[job]))),
                "tail of 50 lines": _ask(bench, lambda job=job: running.client.call(Tail(job=job, lines=50))),
                "memory of the daemon, MiB": memory_of(running.daemon.pid) / MIB,
            }
            if size <= _READ_LIMIT_MIB:
                values["all of it"] = timed(lambda job=job: _read_all(running, job)) * 1e3
            _put(points, size, values)
    return points


def _read_all(running: Instance, job: str) -> int:
    items = running.client.stream(Follow(job=job, follow=False))
    return sum(len(item.run.data) for item in items if item.run)


def _with_clients(bench: Bench) -> Points:
    points: Points = {}
    with instance() as running:
        for count in _CLIENTS:
            with contextlib.ExitStack() as stack:
                for _ in range(count - 1):
                    stack.enter_context(running.raw())
                alone = _ask(bench, lambda: running.client.call(Ping())) * 1e3
            rate = ping_rate(running, count, 400)
            _put(points, count, {"one ping, µs": alone, "pings a second of all, in thousands": rate / 1000})
    return points
