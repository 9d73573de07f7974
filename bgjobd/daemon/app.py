"""The composition root: builds the services, opens the socket, and runs until told to stop."""

import contextlib
import gc
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

import anyio
import anyio.abc
import anyio.to_thread

from bgjobd.daemon.adoption import Adoption
from bgjobd.daemon.cgroup import job_cgroup_parent
from bgjobd.daemon.commands.table import Services, routes
from bgjobd.daemon.config import Loaded
from bgjobd.daemon.events import EventHub
from bgjobd.daemon.hooks import Hooks
from bgjobd.daemon.listener import Connection, listen
from bgjobd.daemon.orphans import Orphans
from bgjobd.daemon.output_watch import OutputWatch
from bgjobd.daemon.recorder import Recorder
from bgjobd.daemon.retention import Retention
from bgjobd.daemon.runners import ZygoteLink
from bgjobd.daemon.supervisor import Supervisor
from bgjobd.daemon.tasks import Tasks
from bgjobd.errors import BgjobError
from bgjobd.paths import Paths
from bgjobd.runner import system
from bgjobd.store.history import History
from bgjobd.store.job_directories import JobDirectories
from bgjobd.version import VERSION

logger = logging.getLogger("bgjobd")

# How long answers that are under way may take once the daemon was told to stop. Jobs are not among them.
SHUTDOWN_DEADLINE_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What the daemon starts with."""

    paths: Paths
    loaded: Loaded
    zygote: tuple[int, socket.socket]
    nofile_soft: int  # the soft RLIMIT_NOFILE that jobs get
    inherited: socket.socket | None  # the control socket, when the service manager opened it
    ready: Callable[[], None]  # called once clients can connect


def run(start: Start) -> None:
    """Serve until stopped."""
    system.become_subreaper()
    anyio.run(_serve, start)


async def _serve(start: Start) -> None:
    paths, loaded = start.paths, start.loaded
    with contextlib.ExitStack() as stack:
        is_first = not os.listdir(paths.jobs_dir)
        history = stack.enter_context(contextlib.closing(History.open(paths.history_db, is_first=is_first)))
        recorder = Recorder(history)
        events = EventHub(history.last_event_seq(), recorder.put_event)
        orphans = Orphans()
        stop = anyio.Event()
        connections: set[Connection] = set()
        async with anyio.create_task_group() as tasks:
            hooks = Hooks(loaded.settings, orphans.on_exit)
            supervisor = Supervisor(
                paths, loaded.settings, history, events, recorder, hooks, tasks, start.nofile_soft,
                JobDirectories(paths),
            )  # fmt: skip
            if loaded.settings.cgroup == "auto":
                supervisor.cgroup = job_cgroup_parent()
            adoption = Adoption(supervisor, orphans)
            supervisor.settle = adoption.settle
            pid, link = start.zygote
            orphans.on_exit(pid, lambda status: logger.warning("zygote ended: pid=%s wait_status=%s", pid, status))
            supervisor.zygote = ZygoteLink(
                paths.state_dir, pid, link, supervisor.hint, supervisor.zygote_replaced, supervisor.cannot_start
            )
            retention = Retention(supervisor, recorder)
            services = Services(
                paths=paths, loaded=loaded, supervisor=supervisor, output=OutputWatch(supervisor), retention=retention,
                tasks=Tasks(paths.tasks_dir, tasks), adoption=adoption, recorder=recorder, connections=connections,
                stop=stop, started_ns=time.time_ns(), started_monotonic=time.monotonic(),
            )  # fmt: skip
            tasks.start_soon(recorder.run, name="recorder")
            for job in adoption.adopt_all():
                tasks.start_soon(adoption.settle, job, name=f"settle {job.job_id}")
            supervisor.start_queued()
            tasks.start_soon(retention.run, name="retention")
            tasks.start_soon(supervisor.preparation.run, name="preparation")
            table = routes(services)
            server = await listen(paths.socket, table, tasks, connections, start.inherited)

            def is_removed() -> bool:
                """Whether our socket, if it is ours, has no name any more."""
                return start.inherited is None and not stop.is_set() and not os.path.exists(paths.socket)

            async def listen_again() -> None:
                nonlocal server
                if not is_removed():
                    return  # two signals came
                logger.warning("the socket was removed; listening again: socket=%s", paths.socket)
                server.close()
                try:
                    paths.ensure()
                    server = await listen(paths.socket, table, tasks, connections)
                except (BgjobError, OSError):
                    logger.exception("cannot listen again")  # until somebody asks once more

            def look_at_socket() -> None:
                if is_removed():
                    tasks.start_soon(listen_again, name="listen again")

            orphans.on_signal = look_at_socket
            await tasks.start(_stop_on_signal, stop, name="signals")
            logger.info("ready: version=%s pid=%s socket=%s", VERSION, os.getpid(), paths.socket)
            start.ready()
            tasks.start_soon(adoption.watch_runners, name="watch runners")
            gc.freeze()  # a collection of all of this would hold up every client for 30 ms
            gc.enable()
            await stop.wait()
            supervisor.stopping = True
            server.close()
            if start.inherited is None:  # else it belongs to the service manager, which goes on listening
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(paths.socket)
            with anyio.move_on_after(SHUTDOWN_DEADLINE_S):
                await recorder.drain()
            history.is_complete = recorder.is_idle
            for connection in list(connections):
                connection.close()
            supervisor.zygote.close()
            logger.info("stopped; jobs go on: running=%s", len(supervisor.active))
            tasks.cancel_scope.cancel()


async def _stop_on_signal(
    stop: anyio.Event, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM) as signals:
        task_status.started()  # from before we say that we are ready
        async for _ in signals:
            logger.info("told to stop by SIGTERM")
            stop.set()
