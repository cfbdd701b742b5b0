"""Opens the events of a caller: asks the registry for its audiences and for the events that it missed."""

from collections.abc import AsyncIterator, Iterable, Mapping
from functools import partial

from starlette.types import Receive

from gateway.errors import MalformedRequest
from gateway.event_feed import EventFeed, SubscribedAudiences, live_event_from_stored
from gateway.event_reader import EventReader
from gateway.live_event import LiveEvent
from gateway.query_params import parse_natural_number
from gateway.subscriptions import SubscriptionEnded
from protos.registry.v1 import events_pb2 as pb
from protos.registry.v1 import events_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel
from services.chassis.errors import Unavailable
from services.chassis.identity import Identity

CLOSE_TIMEOUT_SECONDS = 5.0
"""Time that a client may take to receive the end of its events."""


class EventReaders:
    """Opens readers of events."""

    def __init__(self, registry: ServiceChannel, feed: EventFeed) -> None:
        self._registry = registry
        self._stub = rpc.EventServiceStub(registry.channel)
        self._feed = feed

    async def open(
        self, caller: Identity | None, *, workspace_id: str = "", after: int | None, capacity: int
    ) -> EventReader:
        """Return a reader of the events of one workspace, or of all events that the caller may receive."""
        try:
            await self._feed.position()
        except SubscriptionEnded:
            raise Unavailable from None
        request = pb.ResolveSubscriptionRequest(workspace_id=workspace_id, after_event_id=after)
        resolved: pb.ResolveSubscriptionResponse = await self._registry.call(
            self._stub.ResolveSubscription, request, on_behalf_of=caller
        )
        return EventReader(
            self._feed,
            SubscribedAudiences(subscribed_to=tuple(resolved.subscribed_to), subscribed_as=resolved.subscribed_as),
            partial(self._replay, caller, workspace_id),
            after=resolved.head_event_id if after is None else after,
            is_finished=resolved.ended,
            capacity=capacity,
        )

    async def _replay(
        self, caller: Identity | None, workspace_id: str, after: int, through: int
    ) -> AsyncIterator[LiveEvent]:
        has_more = True
        while has_more:
            request = pb.ReplayEventsRequest(workspace_id=workspace_id, after_event_id=after, through_event_id=through)
            page: pb.ReplayEventsResponse = await self._registry.call(
                self._stub.ReplayEvents, request, on_behalf_of=caller
            )
            for event in page.events:
                yield live_event_from_stored(event)
                after = event.event_id
            has_more = page.more


def parse_last_event_id(headers: Mapping[str, str], query: Iterable[str]) -> int | None:
    """Return the last event that the client handled, by the header or else by the query; raises `MalformedRequest`."""
    text = headers.get("last-event-id", "").strip() or next(iter(query), "")
    if not text:
        return None
    event_id = parse_natural_number(text)
    if event_id is None:
        raise MalformedRequest("last_event_id must be a non-negative integer")
    return event_id


async def wait_for_message(kind: str, receive: Receive) -> None:
    """Wait for an ASGI message of one type and ignore the others."""
    while (await receive())["type"] != kind:
        pass
