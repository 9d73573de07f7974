"""Ends: how soon a waiter knows, and how soon a whole tree is gone."""

import os
from collections.abc import Iterator

from bgjobd.protocol import Condition, JobInfo, Kill, KillReply, Send, Wait
from tests.helpers.raw import Raw
from tests.helpers.waiting import wait_until
from tests.perf.bench import Bench
from tests.perf.instance import Instance, instance, pause
from tests.perf.measure import Value, exactly, of, p50, quantile
from tests.perf.questions import milliseconds
from tests.perf.stamps import Stamps
from tests.perf.targets import Result

# Six processes, two of them in sessions of their own, one that ignores what can be ignored.
_TREE = """
trap '' TERM; (setsid sleep 1000 &); (setsid sh -c 'sleep 1000; :' &); sleep 1000 & sleep 1000 & echo ready; wait
"""
_BOMB = 150


def measure(bench: Bench) -> Iterator[Result]:
    """Measure every row of this group."""
    with instance() as running:
        yield from _waits(bench, running)
        yield from _kills(bench, running)
    with instance() as running:  # of its own: what goes wrong here shall not be in the other rows
        yield from _bombs(bench, running)


def _waits(bench: Bench, running: Instance) -> Iterator[Result]:
    """The job stamps as its last act, or prints its stamp; the waiter has asked long before."""
    with Stamps(running.home) as stamps, running.raw() as raw:
        ends, lines = [], []
        for number in range(1, bench.rounds(100) + 1):
            ends.append(_exit_to_waiter(running, stamps, raw, 2 * number, bench.probe.path))
            lines.append(_line_to_waiter(running, raw, 2 * number + 1, bench.probe.path))
    for key, samples in (("ending.wait_exit", ends), ("ending.wait_line", lines)):
        yield Result(key, milliseconds(p50(samples)), "", f"p99 {quantile(samples, 0.99) * 1e3:.1f} ms")


def _exit_to_waiter(running: Instance, stamps: Stamps, raw: Raw, number: int, probe: str) -> float:
    job = running.run(f"read go; exec {probe} stamp {stamps.path}")
    raw.call(number, Wait(jobs=[job.job_id]))
    _let_go(running, job)
    stamp = stamps.next()
    raw.answer()
    return stamps.now() - stamp


def _line_to_waiter(running: Instance, raw: Raw, number: int, probe: str) -> float:
    job = running.run(f"read go; {probe} stamp -; read go")
    raw.call(number, Wait(jobs=[job.job_id], until=[Condition(pattern="^[0-9]+$")]))
    _let_go(running, job)
    import msgspec

    from bgjobd.protocol import WaitReply

    answer = raw.answer()
    now = Stamps.now()
    [fired] = msgspec.msgpack.decode(answer.body, type=WaitReply).fired
    assert fired.condition == "pattern", fired
    _let_go(running, job)
    return now - int(fired.line) / 1e9


def _let_go(running: Instance, job: JobInfo) -> None:
    pause(0.01)
    running.client.call(Send(job=job.job_id, data=b"\n"))


def _kills(bench: Bench, running: Instance) -> Iterator[Result]:
    replies = [_kill_tree(running) for _ in range(bench.rounds(30))]
    times = [reply.receipt.duration_s * 1e3 for reply in replies]
    complete = [reply for reply in replies if reply.receipt.status == "killed" and len(reply.receipt.processes) >= 6]
    told = f"p50 {quantile(times, 0.5):.1f} ms, trees of 6"
    yield Result("ending.kill", Value(max(times), min(times), max(times)), "", told)
    yield Result("ending.kill_complete", exactly(100 * len(complete) / len(replies)))


def _kill_tree(running: Instance) -> KillReply:
    job = running.run(_TREE)
    running.client.call(Wait(jobs=[job.job_id], until=[Condition(pattern="ready")], since={job.job_id: 0}))
    wait_until(lambda: len(_tree(running, job)) >= 6, "the tree of 6")
    return running.client.call(Kill(job=job.job_id, signal="KILL"))


def _tree(running: Instance, job: JobInfo) -> list[object]:
    from bgjobd.protocol import Status

    return list(running.client.call(Status(jobs=[job.job_id], details=True)).jobs[0].processes or ())


def _bombs(bench: Bench, running: Instance) -> Iterator[Result]:
    """Killed by root, or with a cgroup; else it may be incomplete, and has to say so."""
    replies = []
    for number in range(bench.rounds(12, least=3)):
        path = os.path.join(running.home, f"bomb-{number}")
        job = running.run([bench.probe.path, "bomb", str(_BOMB), path])
        # each process that found a place printed one byte
        wait_until(lambda job=job: _output_bytes(running, job) >= _BOMB, f"{_BOMB} processes")
        replies.append(running.client.call(Kill(job=job.job_id, signal="KILL")))
    times = [reply.receipt.duration_s * 1e3 for reply in replies]
    complete = [reply for reply in replies if reply.receipt.status == "killed"]
    honest = [reply for reply in replies if reply.receipt.status == "killed" or reply.receipt.survivors]
    who = "root" if os.geteuid() == 0 else "not root"
    yield Result("ending.bomb", of(times), "", f"{who}; {len(complete)} of {len(replies)} complete")
    yield Result("ending.bomb_complete", exactly(100 * len(honest) / len(replies)))


def _output_bytes(running: Instance, job: JobInfo) -> int:
    from bgjobd.protocol import Status

    return running.client.call(Status(jobs=[job.job_id])).jobs[0].output_bytes
