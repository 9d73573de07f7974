"""The server put together: handlers, lifespan, and what is said about it to clients."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, cast

from mcp.server.caching import CacheHint
from mcp.server.lowlevel import NotificationOptions, Server

from bgjob_mcp.server import changes, resources, tasks, tools
from bgjob_mcp.server.bad_messages import Answered
from bgjob_mcp.server.sessions import Sessions
from bgjob_mcp.server.stdio import wire
from bgjob_mcp.surroundings import Surroundings
from bgjob_mcp.tools import INSTRUCTIONS
from bgjobd.paths import Paths
from bgjobd.version import VERSION

__all__ = ["build", "serve", "serve_stdio"]

_HOUR_MS = 3_600_000


def build(surroundings: Surroundings, paths: Paths) -> Server[Sessions]:
    """Return a server for clients whose jobs run in `surroundings`, with the daemon of `paths`."""

    @asynccontextmanager
    async def lifespan(server: Server[Sessions]) -> AsyncIterator[Sessions]:
        serving: AbstractAsyncContextManager[Sessions] = Sessions.serving(surroundings, paths)
        async with serving as sessions:
            yield sessions

    server = Server[Sessions](
        "bgjob",
        version=VERSION,
        title="bgjob: background jobs",
        instructions=INSTRUCTIONS,
        lifespan=lifespan,
        # What never changes while the server runs may be kept; what jobs do may not.
        cache_hints={
            "tools/list": CacheHint(ttl_ms=_HOUR_MS, scope="public"),
            "resources/templates/list": CacheHint(ttl_ms=_HOUR_MS, scope="public"),
            "resources/list": CacheHint(ttl_ms=_HOUR_MS, scope="public"),
            "resources/read": CacheHint(ttl_ms=0, scope="private"),
        },
        on_list_tools=tools.list_tools,
        on_call_tool=cast("Any", tools.call_tool),  # the SDK's type knows no results of extensions; its code does
        on_list_resources=resources.list_resources,
        on_list_resource_templates=resources.list_templates,
        on_read_resource=resources.read_resource,
        on_completion=resources.complete,
        on_subscribe_resource=changes.subscribe,
        on_unsubscribe_resource=changes.unsubscribe,
        on_subscriptions_listen=changes.Listen(),
    )
    tasks.install(server, tasks.WaitTasks())
    return server


async def serve_stdio(surroundings: Surroundings, paths: Paths, answered: Callable[[], None]) -> None:
    """Serve one client on stdin and stdout until it closes stdin. Jobs go on.

    Args:
        answered: called once, after the first message to the client.
    """
    async with wire(answered) as both:
        await serve(both, surroundings, paths)


async def serve(both: tuple[Any, Any], surroundings: Surroundings, paths: Paths) -> None:
    """Serve one client over the SDK's two streams until it sends no more. Jobs go on."""
    server = build(surroundings, paths)
    incoming, outgoing = both
    options = server.create_initialization_options(NotificationOptions())
    await server.run(Answered(incoming, outgoing), outgoing, options)
