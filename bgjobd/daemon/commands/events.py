"""events: what happened to jobs, stored ones first, then live."""

import anyio.to_thread

from bgjobd.daemon.commands.table import Services
from bgjobd.daemon.events import Subscription
from bgjobd.daemon.listener import Connection, ItemSender
from bgjobd.protocol import Events, EventsReply, EventType

_PAGE = 500  # stored events read at a time


async def events(services: Services, connection: Connection, request: Events, items: ItemSender) -> EventsReply:
    """Stream events from `since` on; every event exactly once, in order, also across the border of stored and live.

    Of one job they end with its removal: nothing comes after that.
    """
    supervisor = services.supervisor
    wanted = supervisor.find(request.job).job_id if request.job else ""
    hub = supervisor.events
    last = hub.last_seq if request.since is None else request.since
    with Subscription(hub) as subscription:
        newest = hub.last_seq  # what comes later is queued for us; what came before is stored, once it is drained
        await services.recorder.drain_or_refuse("read events")
        while last < newest:
            page = await anyio.to_thread.run_sync(supervisor.history.events, last, _PAGE, wanted or None)
            for event in page:
                if event.seq <= newest:
                    await items.send(event)
            last = page[-1].seq if page else newest
        while request.follow:
            event = await subscription.next()
            if event.seq > newest and wanted in ("", event.job_id):
                await items.send(event)
                if wanted and event.type is EventType.REMOVED:
                    break
    return EventsReply(last_seq=hub.last_seq, oldest_seq=supervisor.history.oldest_event_seq())
