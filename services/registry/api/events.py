"""The servicer of events: translates between protobuf and the feeds."""

from collections.abc import AsyncIterator

from protos.registry.v1 import events_pb2 as pb
from protos.registry.v1 import events_pb2_grpc as rpc
from services.chassis import identity, pages
from services.chassis.feeds import FEED_SIGN_INTERVAL
from services.chassis.rpc import Context
from services.chassis.timestamps import duration_from_timedelta
from services.registry.feeds.broadcasts import Broadcasts
from services.registry.feeds.event_log import EventLog, EventLogKeepalive, PublishedEvent, ReplayDone
from services.registry.feeds.relayed_events import RelayedEvents
from services.registry.feeds.subscriptions import EventSubscriptions
from services.registry.wire import events as wire
from services.registry.workspace.events import EventRange

MAX_EVENTS_PER_PAGE = 500


class EventServicer(rpc.EventServiceServicer):
    """Streams events to the gateway, answers what one caller may receive, and stores events of other services."""

    def __init__(
        self,
        *,
        event_log: EventLog,
        broadcasts: Broadcasts,
        subscriptions: EventSubscriptions,
        relayed_events: RelayedEvents,
    ) -> None:
        self._event_log = event_log
        self._broadcasts = broadcasts
        self._subscriptions = subscriptions
        self._relayed_events = relayed_events

    async def WatchEvents(
        self, request: pb.WatchEventsRequest, context: Context
    ) -> AsyncIterator[pb.WatchEventsResponse]:
        async for update in self._event_log.watch(request.after_event_id):
            match update:
                case PublishedEvent():
                    yield pb.WatchEventsResponse(event=wire.published_event_to_proto(update))
                case ReplayDone(event_id):
                    yield pb.WatchEventsResponse(caught_up=pb.CaughtUp(event_id=event_id))
                case EventLogKeepalive():
                    yield pb.WatchEventsResponse(keepalive=duration_from_timedelta(FEED_SIGN_INTERVAL))
                case workspaces:
                    yield pb.WatchEventsResponse(audiences=wire.audiences_to_proto(workspaces))

    async def WatchBroadcasts(
        self, request: pb.WatchBroadcastsRequest, context: Context
    ) -> AsyncIterator[pb.WatchBroadcastsResponse]:
        async for batch in self._broadcasts.watch():
            yield pb.WatchBroadcastsResponse(broadcasts=[wire.broadcast_to_proto(broadcast) for broadcast in batch])

    async def ResolveSubscription(
        self, request: pb.ResolveSubscriptionRequest, context: Context
    ) -> pb.ResolveSubscriptionResponse:
        after = request.after_event_id if request.HasField("after_event_id") else None
        subscription = await self._subscriptions.resolve(identity.current(), request.workspace_id, after)
        return pb.ResolveSubscriptionResponse(
            subscribed_to=subscription.subscribed_to,
            subscribed_as=subscription.subscribed_as,
            ended=subscription.ended,
            head_event_id=subscription.head,
        )

    async def RecordEvents(self, request: pb.RecordEventsRequest, context: Context) -> pb.RecordEventsResponse:
        refused = await self._relayed_events.record([wire.relayed_event_from_proto(one) for one in request.events])
        return pb.RecordEventsResponse(refused_ids=refused)

    async def ReplayEvents(self, request: pb.ReplayEventsRequest, context: Context) -> pb.ReplayEventsResponse:
        page = await self._subscriptions.replay(
            identity.current(),
            request.workspace_id,
            EventRange(after=request.after_event_id, through=request.through_event_id),
            size=pages.choose_page_size(request.page_size, default=MAX_EVENTS_PER_PAGE, maximum=MAX_EVENTS_PER_PAGE),
        )
        return pb.ReplayEventsResponse(
            events=[wire.stored_event_to_proto(event) for event in page.events], more=page.more
        )
