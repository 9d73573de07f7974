"""What it costs to be there: memory of the daemon and of each runner, and wake-ups while nothing happens."""

import contextlib
import glob
from collections.abc import Iterator

from bgjobd.protocol import Remove
from tests.helpers.cli import BGJOB
from tests.helpers.procs import children_of, memory_of, private_bytes, processes_of, pss_bytes
from tests.helpers.pty import Terminal
from tests.perf.bench import Bench
from tests.perf.instance import MIB, Instance, instance, pause
from tests.perf.measure import Value, exactly, of
from tests.perf.start import submit_all
from tests.perf.targets import Result

_RUNNERS = 100
_TERMINALS = 50
_IN_FLIGHT = 50
_QUIET_S = 5.0
_GRACE_S = 1.0  # for what follows the last job: a spare, a commit


def measure(bench: Bench) -> Iterator[Result]:
    """Measure every row of this group."""
    with instance() as running:
        yield from _daemon(bench, running)
    with instance(max_jobs=1000) as running:
        yield from _runners(running)


def _daemon(bench: Bench, running: Instance) -> Iterator[Result]:
    running.finish("echo warm")
    pause(_GRACE_S)
    idle = memory_of(running.daemon.pid)
    yield Result("memory.idle", exactly(idle / MIB))
    jobs = 1000 if bench.is_full else 200
    with running.raw() as raw:
        for _ in range(jobs // _IN_FLIGHT):
            submit_all(raw, running.submit("echo line", wait_s=60), _IN_FLIGHT)
    pause(_GRACE_S)
    after_jobs = memory_of(running.daemon.pid)
    yield Result("memory.jobs", exactly((after_jobs - idle) / MIB))
    size = 10 * 10**9 if bench.is_full else 10**9
    job = running.finish(["/usr/bin/head", "-c", str(size), "/dev/zero"])
    assert job.output_bytes == size
    yield Result("memory.output", exactly((memory_of(running.daemon.pid) - after_jobs) / MIB))
    running.client.call(Remove(jobs=[job.job_id]))


def _runners(running: Instance) -> Iterator[Result]:
    jobs = [running.run(["/bin/sleep", "1000"]) for _ in range(_RUNNERS)]
    pause(_GRACE_S)
    sizes = [pss_bytes(job.runner_pid or 0) / MIB for job in jobs]
    zygote = pss_bytes(running.zygote_pid()) / MIB
    spares = len(children_of(running.zygote_pid())) - _RUNNERS
    told = f"zygote {zygote:.1f} MiB, {spares} spares"
    yield Result("memory.runner", of(sizes), "", told)
    on_terminals = [running.run(["/bin/cat"], pty=True) for _ in range(_TERMINALS)]
    pause(_GRACE_S)
    sizes = [private_bytes(job.runner_pid or 0) / MIB for job in on_terminals]
    yield Result("memory.terminal", of(sizes), "", f"{_TERMINALS} that wait for input")
    with _window(running, on_terminals[0].job_id):
        woken = [_wakeups(running.home) for _ in range(3)]
    told = f"{_RUNNERS} idle jobs, {_TERMINALS} on terminals, one attached to, in {_QUIET_S:.0f} s, least of 3"
    yield Result("memory.wakeups", Value(min(woken), min(woken), max(woken)), "", told)


@contextlib.contextmanager
def _window(running: Instance, job_id: str) -> Iterator[None]:
    """Have somebody attached who types nothing."""
    with Terminal([BGJOB, "attach", job_id], running.env) as window:
        window.expect("detaches")
        pause(_GRACE_S)
        yield


def _wakeups(home: str) -> float:
    """Return how often a second the processes of the instance, jobs aside, woke up and went to sleep again."""
    before = _switches(home)
    pause(_QUIET_S)
    after = _switches(home)
    return sum(after[path] - count for path, count in before.items() if path in after) / _QUIET_S


def _switches(home: str) -> dict[str, int]:
    counts = {}
    for process in processes_of(home):
        if process.name in ("sleep", "cat"):
            continue
        for path in glob.glob(f"/proc/{process.pid}/task/*/status"):
            with contextlib.suppress(FileNotFoundError), open(path) as file:
                counts[path] = int(next(line for line in file if line.startswith("voluntary")).split()[1])
    return counts
