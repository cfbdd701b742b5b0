"""The servicer of events: speaks protobuf and decides nothing."""

from collections.abc import AsyncIterator

from protos.registry.v1 import events_pb2 as pb
from protos.registry.v1 import events_pb2_grpc as rpc
from services.chassis import identity, pages
from services.chassis.rpc import Context
from services.chassis.timestamps import duration_from_timedelta
from services.registry.feeds.broadcasts import Broadcasts
from services.registry.feeds.event_log import CaughtUp, Chronicle, Quiet, Told
from services.registry.feeds.subscriptions import Views
from services.registry.feeds.workspace_feed import SIGN_EVERY
from services.registry.wire import events as wire
from services.registry.workspace.events import EventRange


class EventServicer(rpc.EventServiceServicer):
    """Unwraps, asks one part, wraps."""

    def __init__(self, *, chronicle: Chronicle, broadcasts: Broadcasts, views: Views) -> None:
        self._chronicle = chronicle
        self._broadcasts = broadcasts
        self._views = views

    async def WatchEvents(
        self, request: pb.WatchEventsRequest, context: Context
    ) -> AsyncIterator[pb.WatchEventsResponse]:
        async for news in self._chronicle.watch(request.after_event_id):
            match news:
                case Told(event, circles):
                    yield pb.WatchEventsResponse(event=wire.published_to(event, circles))
                case CaughtUp(event_id):
                    yield pb.WatchEventsResponse(caught_up=pb.CaughtUp(event_id=event_id))
                case Quiet():
                    yield pb.WatchEventsResponse(keepalive=duration_from_timedelta(SIGN_EVERY))
                case placed:
                    yield pb.WatchEventsResponse(audiences=wire.placements_to(placed))

    async def WatchBroadcasts(
        self, request: pb.WatchBroadcastsRequest, context: Context
    ) -> AsyncIterator[pb.WatchBroadcastsResponse]:
        async for together in self._broadcasts.watch():
            yield pb.WatchBroadcastsResponse(broadcasts=[wire.broadcast_to(broadcast) for broadcast in together])

    async def ResolveSubscription(
        self, request: pb.ResolveSubscriptionRequest, context: Context
    ) -> pb.ResolveSubscriptionResponse:
        after = request.after_event_id if request.HasField("after_event_id") else None
        view = await self._views.resolve(identity.current(), request.workspace_id, after)
        return pb.ResolveSubscriptionResponse(
            subscribed_to=view.subscribed_to, subscribed_as=view.subscribed_as, ended=view.over, head_event_id=view.head
        )

    async def ReplayEvents(self, request: pb.ReplayEventsRequest, context: Context) -> pb.ReplayEventsResponse:
        replay = await self._views.replay(
            identity.current(),
            request.workspace_id,
            EventRange(after=request.after_event_id, through=request.through_event_id),
            size=pages.page_size(request.page_size, default=500, most=500),
        )
        return pb.ReplayEventsResponse(events=[wire.stored_to(event) for event in replay.events], more=replay.more)
