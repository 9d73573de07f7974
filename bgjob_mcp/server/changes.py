"""Telling clients that a job's output or status has changed, in both eras, without a poll.

A watch is a wait that the daemon answers when there is something new. Bursts are told once: after each notification a
watch rests for a moment. Clients up to 2025-11-25 subscribe with `resources/subscribe` and are told on their own
channel; clients of 2026-07-28 hold a `subscriptions/listen` stream, which gets what is published on the bus.
"""

import logging
from collections.abc import Awaitable, Callable

import anyio
import mcp_types as types
from mcp import MCPError
from mcp.server.subscriptions import ListenHandler, ResourceUpdated

from bgjob_mcp.agent import Agent
from bgjob_mcp.render.window import ACTIVE
from bgjob_mcp.server.resources import Leaf, find_job
from bgjob_mcp.server.sessions import Client, Context, Sessions
from bgjobd.errors import BgjobError
from bgjobd.protocol import Condition, JobInfo, Wait

__all__ = ["Listen", "subscribe", "unsubscribe"]

log = logging.getLogger(__name__)

_REST_S = 1.0
_MAX_SUBSCRIPTIONS = 100  # of one client; each is a wait in the daemon

Tell = Callable[[], Awaitable[None]]


async def subscribe(context: Context, params: types.SubscribeRequestParams) -> types.EmptyResult:
    """Begin to tell this client about changes of one resource (up to 2025-11-25)."""
    sessions = context.lifespan_context
    client = await _client(context)
    uri = str(params.uri)
    job, leaf = await find_job(client.agent, uri)
    if uri in client.subscriptions:
        return types.EmptyResult()
    if len(client.subscriptions) >= _MAX_SUBSCRIPTIONS:
        raise MCPError(
            types.INVALID_PARAMS, f"cannot subscribe to {uri}: {_MAX_SUBSCRIPTIONS} subscriptions are the most"
        )
    session = context.session

    async def tell() -> None:
        await session.send_resource_updated(uri)

    scope = client.subscriptions[uri] = anyio.CancelScope()
    sessions.tasks.start_soon(_watch_within, scope, client, uri, job, leaf, tell, name=f"watch {uri}")
    return types.EmptyResult()


async def unsubscribe(context: Context, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
    """Stop telling this client about a resource."""
    client = await _client(context)
    scope = client.subscriptions.pop(str(params.uri), None)
    if scope is not None:
        scope.cancel()
    return types.EmptyResult()


class Listen:
    """`subscriptions/listen` (2026-07-28): one call is one stream, which ends when the client goes."""

    async def __call__(
        self, context: Context, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        """Watch what is asked for as long as the stream is open."""
        sessions = context.lifespan_context
        agent = (await _client(context)).agent
        uris = [str(uri) for uri in params.notifications.resource_subscriptions or ()][:_MAX_SUBSCRIPTIONS]
        result: list[types.SubscriptionsListenResult] = []
        async with anyio.create_task_group() as tasks:
            for uri in uris:
                tasks.start_soon(_publish, sessions, agent, uri, name=f"watch {uri}")
            result.append(await ListenHandler(sessions.bus)(context, params))
            tasks.cancel_scope.cancel()
        return result[0]


async def _client(context: Context) -> Client:
    try:
        return await context.lifespan_context.client(context)
    except BgjobError as error:
        raise MCPError(types.INTERNAL_ERROR, str(error)) from error


async def _publish(sessions: Sessions, agent: Agent, uri: str) -> None:
    """Put changes of one resource on the bus. A resource that is not there never changes."""
    try:
        job, leaf = await find_job(agent, uri)
    except MCPError:
        return

    async def tell() -> None:
        await sessions.bus.publish(ResourceUpdated(uri=uri))

    await _watch(agent, job, leaf, tell)


async def _watch_within(
    scope: anyio.CancelScope, client: Client, uri: str, job: JobInfo, leaf: Leaf, tell: Tell
) -> None:
    with scope:
        try:
            await _watch(client.agent, job, leaf, tell)
        except BgjobError as error:
            log.warning("watching %s ended: %s", uri, error)
        except anyio.ClosedResourceError:
            log.debug("the client of %s is gone", uri)
    client.subscriptions.pop(uri, None)


async def _watch(agent: Agent, job: JobInfo, leaf: Leaf, tell: Tell) -> None:
    """Tell of each change until the job is over."""
    until = [Condition(pattern="")] if leaf is Leaf.OUTPUT else []
    while job.status in ACTIVE:
        reply = await agent.daemon.call(Wait(jobs=[job.job_id], until=until, since={job.job_id: job.output_bytes}))
        job = reply.jobs[0]
        await tell()
        await anyio.sleep(_REST_S)  # noqa: TID251  # the pause is the point: a burst of output is told once
