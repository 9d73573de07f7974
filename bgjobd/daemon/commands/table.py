"""Every request, its handler, and how it is run: at once on the event loop, in a task, both, or as a stream."""

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from bgjobd import protocol
from bgjobd.daemon.adoption import Adoption
from bgjobd.daemon.config import Loaded
from bgjobd.daemon.listener import Connection, Route
from bgjobd.daemon.output_watch import OutputWatch
from bgjobd.daemon.recorder import Recorder
from bgjobd.daemon.supervisor import Supervisor
from bgjobd.daemon.tasks import Tasks
from bgjobd.paths import Paths

if TYPE_CHECKING:
    from bgjobd.daemon.retention import Retention


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What handlers work with."""

    paths: Paths
    loaded: Loaded
    supervisor: Supervisor
    output: OutputWatch
    retention: "Retention"
    tasks: Tasks
    adoption: Adoption
    recorder: Recorder
    connections: set[Connection]
    stop: anyio.Event
    started_ns: int  # unix time
    started_monotonic: float


def routes(services: Services) -> dict[str, Route]:
    """Return how each op is answered."""
    from bgjobd.daemon.commands import admin, events, jobs, kill, logs, screen, send, tasks, wait

    table: dict[str, Route] = {}

    def now(request: type[msgspec.Struct], handler: Callable[[Services, Connection, Any], msgspec.Struct]) -> None:
        table[request.op] = Route(msgspec.msgpack.Decoder(request), now=functools.partial(handler, services))  # type: ignore[attr-defined]  # every Request has an op

    def later(
        request: type[msgspec.Struct], handler: Callable[[Services, Connection, Any], Awaitable[msgspec.Struct]]
    ) -> None:
        table[request.op] = Route(msgspec.msgpack.Decoder(request), later=functools.partial(handler, services))  # type: ignore[attr-defined]  # every Request has an op

    def begin(
        request: type[msgspec.Struct],
        handler: Callable[[Services, Connection, Any], Callable[[], Awaitable[msgspec.Struct]]],
    ) -> None:
        table[request.op] = Route(msgspec.msgpack.Decoder(request), begin=functools.partial(handler, services))  # type: ignore[attr-defined]  # every Request has an op

    def stream(request: type[msgspec.Struct], handler: Callable[..., Awaitable[msgspec.Struct]]) -> None:
        table[request.op] = Route(msgspec.msgpack.Decoder(request), stream=functools.partial(handler, services))  # type: ignore[attr-defined]  # every Request has an op

    begin(protocol.Submit, jobs.submit)
    later(protocol.ListJobs, jobs.list_jobs)
    later(protocol.Status, jobs.status)
    later(protocol.Remove, jobs.remove)
    later(protocol.Prune, jobs.prune)
    later(protocol.Output, logs.output)
    later(protocol.Tail, logs.tail)
    later(protocol.Search, logs.search)
    stream(protocol.Follow, logs.follow)
    later(protocol.Screen, screen.screen)
    later(protocol.Send, send.send)
    later(protocol.Resize, send.resize)
    later(protocol.Kill, kill.kill)
    later(protocol.Wait, wait.wait)
    now(protocol.TaskCreate, tasks.task_create)
    now(protocol.TaskGet, tasks.task_get)
    now(protocol.TaskCancel, tasks.task_cancel)
    stream(protocol.Events, events.events)
    now(protocol.DaemonStatus, admin.daemon_status)
    now(protocol.GetSettings, admin.get_settings)
    later(protocol.Shutdown, admin.shutdown)
    now(protocol.Ping, admin.ping)
    return table
