"""Who is on the other side of the wire: one agent, with its own line to the daemon, for each client of this server."""

import os
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import anyio.abc
import msgspec
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus

from bgjob_mcp.agent import Agent, Memory
from bgjob_mcp.clients import traits_of
from bgjob_mcp.line import Line
from bgjob_mcp.settings import read_settings
from bgjob_mcp.surroundings import Surroundings
from bgjobd.async_client import connect
from bgjobd.paths import Paths
from bgjobd.protocol import ClientInfo, Restrictions

__all__ = ["Client", "Context", "Sessions"]

# Where clients say which conversation this is: Claude Code in the environment of its servers, Codex with each call.
_SESSION_VARIABLES = (b"CLAUDE_CODE_SESSION_ID", b"CLAUDE_SESSION_ID")
_CODEX_META = "x-codex-turn-metadata"
_CODEX_SESSION_KEYS = ("session_id", "thread_id", "conversation_id")


# Nothing says that a client of HTTP has gone: the one that called longest ago makes way.
_MAX_CLIENTS = 256


@dataclass(slots=True)
class Client:
    """One client: what its tools need, and what it is subscribed to."""

    agent: Agent
    line: anyio.CancelScope  # holds its connection to the daemon
    subscriptions: dict[str, anyio.CancelScope] = field(default_factory=dict)  # by URI; legacy era only

    def forget(self) -> None:
        """End what belongs to it. When it calls again it is a new client, which has seen nothing yet."""
        for scope in [*self.subscriptions.values(), self.line]:
            scope.cancel()


class Sessions:
    """Everything that lives as long as the server: its clients and the tasks that watch for them."""

    def __init__(self, surroundings: Surroundings, paths: Paths, tasks: anyio.abc.TaskGroup) -> None:
        self.tasks = tasks
        self.bus = InMemorySubscriptionBus()
        self._surroundings = surroundings
        self._paths = paths
        self._clients: OrderedDict[str, Client] = OrderedDict()  # the one that called longest ago first
        self._lock = anyio.Lock()

    @classmethod
    @asynccontextmanager
    async def serving(cls, surroundings: Surroundings, paths: Paths) -> AsyncIterator["Sessions"]:
        """Make the sessions of one server, and end all that belongs to them afterwards."""
        async with anyio.create_task_group() as tasks:
            sessions = cls(surroundings, paths, tasks)
            yield sessions
            tasks.cancel_scope.cancel()

    async def agent(self, context: "Context") -> Agent:
        """Return the agent of the client that sent this request.

        Over HTTP nothing tells clients of one name apart that send no id of a session: to each of their requests
        nothing has been shown yet, lest one misses what another one has seen.

        Raises:
            BgjobError: its settings are wrong, or the daemon cannot be reached.
        """
        agent = (await self.client(context)).agent
        if _headers(context) and not _session_id(context):
            return replace(agent, memory=Memory())
        return agent

    async def client(self, context: "Context") -> Client:
        """Return the client that sent this request, known by its first request."""
        key = _transport_session(context)
        async with self._lock:
            if key not in self._clients:
                self._clients[key] = await self._new_client(context)
            self._clients.move_to_end(key)
            if len(self._clients) > _MAX_CLIENTS:
                self._clients.popitem(last=False)[1].forget()
            return self._clients[key]

    async def _new_client(self, context: "Context") -> Client:
        settings = read_settings(self._surroundings.variables, self._surroundings.cwd)
        params = context.session.client_params
        name = params.client_info.name if params else ""
        client = ClientInfo(
            kind="mcp",
            name=name,
            version=params.client_info.version if params else "",
            session=_conversation(context, self._surroundings.environment),
            project=self._surroundings.project,
            pid=self._surroundings.pid,
        )
        holding = anyio.CancelScope()
        line: Line = await self.tasks.start(
            self._hold_line, holding, client, settings.restrictions, name="line to the daemon"
        )
        agent = Agent(
            daemon=line,
            traits=traits_of(name, settings.max_wait_s),
            settings=settings,
            environment=self._surroundings.environment,
            umask=self._surroundings.umask,
            project=self._surroundings.project,
        )
        return Client(agent, holding)

    async def _hold_line(
        self,
        holding: anyio.CancelScope,
        client: ClientInfo,
        restrictions: Restrictions,
        *,
        task_status: anyio.abc.TaskStatus[Line],
    ) -> None:
        """Keep a connection for as long as the client is known, and not only for the call that needs it first."""
        with holding:
            async with connect(self._paths, client=client, restrictions=restrictions) as daemon:
                task_status.started(Line(daemon, self._paths.socket))
                await anyio.sleep_forever()


Context = ServerRequestContext[Sessions, Any]


def _transport_session(context: Context) -> str:
    """Return what tells clients of one server apart: the session of HTTP; stdio has one client."""
    if not _headers(context):
        return ""
    params = context.session.client_params
    who = f"{params.client_info.name} {params.client_info.version}" if params else ""
    return _session_id(context) or f"http {who}"


def _session_id(context: Context) -> str:
    """Return the client's session of HTTP; "" where it has none, as none has since 2026-07-28."""
    return str(_headers(context).get("mcp-session-id", ""))


def _headers(context: Context) -> Mapping[str, str]:
    """Return the headers of a request over HTTP; none over stdio."""
    return getattr(context.request, "headers", None) or {}


def _conversation(context: Context, environment: Mapping[bytes, bytes]) -> str:
    """Return the client's own id of the conversation, "" where it does not say."""
    for variable in _SESSION_VARIABLES:
        if environment.get(variable):
            return os.fsdecode(environment[variable])
    said: Any = ((context.params or {}).get("_meta") or {}).get(_CODEX_META)
    if isinstance(said, str):
        try:
            said = msgspec.json.decode(said)
        except msgspec.DecodeError:
            return ""
    if not isinstance(said, dict):
        return ""
    return next((str(said[key]) for key in _CODEX_SESSION_KEYS if said.get(key)), "")
