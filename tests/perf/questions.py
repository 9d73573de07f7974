"""Asking: how long status, list and tail take with a small and a large history, and how many requests fit a second."""

import contextlib
import socket
from collections.abc import Callable, Iterator

import msgspec

from bgjobd.protocol import Call, ListJobs, Ping, Status, Tail
from bgjobd.wire import encode_frame
from tests.perf.bench import Bench
from tests.perf.instance import Instance, fill_history, instance
from tests.perf.measure import Value, in_turns, of, p50, ratio, timed
from tests.perf.targets import Result

SMALL, LARGE = 100, 100_000
_CLIENTS = 50
_PINGS = 2000  # of each client
_BATCH = 40  # sent at once by each client, as a program with several tasks does
_encode = msgspec.msgpack.encode


def measure(bench: Bench) -> Iterator[Result]:
    """Measure every row of this group."""
    with contextlib.ExitStack() as stack:
        small = stack.enter_context(with_history(SMALL))
        large = stack.enter_context(with_history(LARGE if bench.is_full else LARGE // 10))
        for name in ("status", "list", "tail"):
            ask_small, ask_large = questions(small)[name], questions(large)[name]
            few, many = in_turns(bench.rounds(1000), lambda ask=ask_small: timed(ask), lambda ask=ask_large: timed(ask))
            told = f"with 100,000 jobs: {p50(many).middle * 1e3:.2f} ms"
            yield Result(f"questions.{name}", milliseconds(p50(few)), "", told)
            yield Result(f"questions.{name}_100k", ratio(many, few), "the same with 100 jobs")
        yield from _pings(bench, small)


def milliseconds(value: Value) -> Value:
    """Return a value in seconds as milliseconds."""
    return value / 1e-3


@contextlib.contextmanager
def with_history(count: int, **settings: object) -> Iterator[Instance]:
    """Give an instance with `count` jobs in its history, and one real job with 50 lines of output, named `real`."""
    with instance(**settings) as running:
        like = running.finish("echo like")
        running.stop()
        fill_history(running.daemon.paths.history_db, count, like)
        running.daemon.start()
        running.finish("i=0; while [ $i -lt 1000 ]; do i=$((i+1)); echo line $i; done", name="real")
        yield running


def questions(running: Instance) -> dict[str, Callable[[], object]]:
    """Return what can be asked."""
    client = running.client
    return {
        "status": lambda: client.call(Status(jobs=["real"])),
        "list": lambda: client.call(ListJobs(limit=10)),
        "tail": lambda: client.call(Tail(job="real", lines=50)),
    }


def _pings(bench: Bench, running: Instance) -> Iterator[Result]:
    """All clients are one process here: sending and counting costs it less than answering costs the daemon."""
    rates = [ping_rate(running, _CLIENTS, bench.rounds(_PINGS, least=400)) for _ in range(bench.rounds(5, least=3))]
    yield Result("questions.pings", of(rates))


def ping_rate(running: Instance, clients: int, count: int) -> float:
    """Return how many requests a second are answered to `clients` clients, each of which sends `count` in batches."""
    with contextlib.ExitStack() as stack:
        raws = [stack.enter_context(running.raw()) for _ in range(clients)]
        sockets = [raw.socket for raw in raws]
        batch = b"".join(_ping(number) for number in range(1, _BATCH + 1))
        raws[0].socket.sendall(batch)
        answer_bytes = sum(len(raws[0].frame()) + 4 for _ in range(_BATCH))

        def exchange() -> None:
            for _ in range(count // _BATCH):
                for each in sockets:
                    each.sendall(batch)
                for each in sockets:
                    _receive(each, answer_bytes)

        return clients * (count // _BATCH) * _BATCH / timed(exchange)


def _ping(number: int) -> bytes:
    return encode_frame(_encode(Call(number, Ping.op, msgspec.Raw(_encode(Ping())))))


def _receive(connection: socket.socket, size: int) -> None:
    while size:
        size -= len(connection.recv(size))
