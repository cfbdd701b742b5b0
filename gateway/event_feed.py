"""Follows the events of the plane and publishes them to the subscribers of this gateway.

One stream from the registry brings every stored event in order, and the audiences of every workspace. One stream from
each replica of the registry and of the A2A proxy brings broadcasts, which are not stored.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, assert_never, cast

from gateway.live_event import LiveEvent
from gateway.subscriber_index import EventAudiences, SubscriberIndex
from gateway.subscriptions import EndReason, EventSubscription, SubscriptionEnded
from protos.a2a_proxy.v1 import broadcasts_pb2, broadcasts_pb2_grpc
from protos.registry.v1 import events_pb2 as pb
from protos.registry.v1 import events_pb2_grpc as rpc
from services.chassis.backoff import Backoff
from services.chassis.clients import ServiceChannel
from services.chassis.errors import ServiceError, Unavailable
from services.chassis.feeds import FeedReader

FEED_BACKOFF = Backoff(first=timedelta(seconds=0.2), maximum=timedelta(seconds=0.2))

INITIAL_READ_TIMEOUT_SECONDS = 5.0
"""Time that a client waits for a gateway that has just started to read the feed."""

EVENT_ID_GONE = "EVENT_ID_GONE"
"""The reason with which the registry refuses to resume after an event that it no longer keeps."""

StoredEvents = AsyncGenerator[pb.WatchEventsResponse, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscribedAudiences:
    """The audiences of a client: fixed ones, and those of a workspace as they change."""

    subscribed_to: tuple[str, ...] = ()
    subscribed_as: str = ""


class EventFeed:
    """Knows the subscribers, the audiences of the workspaces, and the last stored event that was published."""

    def __init__(
        self,
        registry: ServiceChannel,
        *,
        registries: Sequence[ServiceChannel] = (),
        proxies: Sequence[ServiceChannel] = (),
    ) -> None:
        """`registry` leads to any replica; `registries` and `proxies` are one channel for each replica."""
        self._registry = registry
        self._registries = registries
        self._proxies = proxies
        self._last_event_id = 0
        self._has_position = asyncio.Event()
        self._audiences: dict[str, EventAudiences] = {}
        self._subscribed_to: dict[str, tuple[str, ...]] = {}
        self._subscribers = SubscriberIndex()
        self._has_subscribers = asyncio.Event()
        self._is_leaving = False
        self._reader = FeedReader(
            "events", self._open_stored_events, backoff=FEED_BACKOFF, on_error=self._reset_after_gap
        )

    async def run(self) -> None:
        """Follow the streams until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_stored_events())
            for channel in self._registries:
                stub = rpc.EventServiceStub(channel.channel)
                group.create_task(self._follow_broadcasts(channel, stub, pb.WatchBroadcastsRequest()))
            for channel in self._proxies:
                proxy_stub = broadcasts_pb2_grpc.BroadcastServiceStub(channel.channel)
                request = broadcasts_pb2.WatchBroadcastsRequest()
                group.create_task(self._follow_broadcasts(channel, proxy_stub, request))

    async def position(self) -> int:
        """Return the id of the last published event; raises `Unavailable` while it is not known."""
        try:
            async with asyncio.timeout(INITIAL_READ_TIMEOUT_SECONDS):
                await self._has_position.wait()
        except TimeoutError:
            raise Unavailable from None
        if self._is_leaving:
            raise SubscriptionEnded(EndReason.GATEWAY_LEAVING)
        return self._last_event_id

    @contextmanager
    def attach(self, subscription: EventSubscription, audiences: SubscribedAudiences) -> Iterator[None]:
        """Publish every event of the audiences to the subscription within the `with` block.

        The caller must not await between `position` and this, or events in between are missing.
        """
        names = (*audiences.subscribed_to, *self._subscribed_to.get(audiences.subscribed_as, ()))
        self._subscribers.add(subscription, names, audiences.subscribed_as)
        self._has_subscribers.set()
        try:
            yield
        finally:
            self._subscribers.discard(subscription)
            if not self._subscribers:
                self._has_subscribers.clear()

    def end_subscriptions(self) -> None:
        """End every subscription, because the gateway stops."""
        self._is_leaving = True
        self._subscribers.end_all(EndReason.GATEWAY_LEAVING)

    # Stored events ───────────────────────────────────────────────────────────

    async def _follow_stored_events(self) -> None:
        while True:
            known: set[str] = set()
            async with self._reader.connection() as updates:
                async for update in updates:
                    self._apply(update, known)

    def _open_stored_events(self) -> StoredEvents:
        request = pb.WatchEventsRequest(after_event_id=self._last_event_id)
        stub = rpc.EventServiceStub(self._registry.channel)
        return cast("StoredEvents", self._registry.watch(stub.WatchEvents, request))

    def _apply(self, update: pb.WatchEventsResponse, known: set[str]) -> None:
        """Apply one update. `known` collects the workspaces that the connection has named so far."""
        kind = update.WhichOneof("update")
        match kind:
            case "audiences":
                for workspace in update.audiences.workspaces:
                    known.add(workspace.workspace_id)
                    self._set_audiences(workspace)
            case "event":
                self._publish_stored(update.event)
            case "caught_up":
                for workspace_id in self._audiences.keys() - known:
                    self._set_audiences(pb.WorkspaceAudiences(workspace_id=workspace_id))
                self._last_event_id = max(self._last_event_id, update.caught_up.event_id)
                self._has_position.set()
            case "keepalive" | None:
                pass
            case _:
                assert_never(kind)

    def _set_audiences(self, audiences: pb.WorkspaceAudiences) -> None:
        workspace_id = sys.intern(audiences.workspace_id)
        if not audiences.published_to:
            self._audiences.pop(workspace_id, None)
            self._subscribed_to.pop(workspace_id, None)
        else:
            self._audiences[workspace_id] = EventAudiences(
                tuple(map(sys.intern, audiences.published_to)), tuple(map(sys.intern, audiences.announced_to))
            )
            self._subscribed_to[workspace_id] = tuple(map(sys.intern, audiences.subscribed_to))
        self._subscribers.move_workspace(workspace_id, self._subscribed_to.get(workspace_id, ()))

    def _publish_stored(self, published: pb.PublishedEvent) -> None:
        event_id = published.event.event_id
        if event_id <= self._last_event_id:
            return
        event = announcement = live_event_from_stored(published.event)
        if published.HasField("announced_payload"):
            announcement = replace(event, payload=published.announced_payload)
        audiences = EventAudiences(tuple(published.published_to), tuple(published.announced_to))
        self._subscribers.publish(event, announcement, audiences)
        self._last_event_id = event_id

    def _reset_after_gap(self, error: Exception) -> None:
        """Start again at the present if the registry no longer keeps the missed events; clients resume themselves."""
        if isinstance(error, ServiceError) and error.reason == EVENT_ID_GONE:
            self._subscribers.end_all(EndReason.GATEWAY_LEAVING)
            self._has_position.clear()
            self._last_event_id = 0

    # Broadcasts ──────────────────────────────────────────────────────────────

    async def _follow_broadcasts(self, channel: ServiceChannel, stub: Any, request: Any) -> None:  # noqa: ANN401 - of either service
        """Read the broadcasts of one replica while this gateway has subscribers."""
        reader: FeedReader[Any] = FeedReader(
            "broadcasts",
            lambda: channel.watch(stub.WatchBroadcasts, request),
            backoff=FEED_BACKOFF,
            silence_limit=None,
        )
        while True:
            await self._has_subscribers.wait()
            parts: list[bytes] = []
            async with reader.connection() as messages:
                async for message in messages:
                    if not self._has_subscribers.is_set():
                        break
                    for broadcast in message.broadcasts:
                        parts.append(broadcast.payload)
                        if not _is_part(broadcast):
                            self._publish_broadcast(broadcast, payload=b"".join(parts))
                            parts = []

    def _publish_broadcast(self, broadcast: pb.Broadcast | broadcasts_pb2.Broadcast, payload: bytes) -> None:
        """Publish a broadcast, unless the audiences may be out of date because their stream is silent.

        `payload` is the whole one, of which the broadcast has the last part.
        """
        audiences = self._audiences.get(broadcast.workspace_id)
        if audiences is None or not self._reader.is_fresh():
            return
        event = LiveEvent(
            type=broadcast.event_type,
            workspace_id=broadcast.workspace_id,
            payload=payload,
            at=broadcast.created_at,
        )
        self._subscribers.publish(event, _build_announcement(event, broadcast), audiences)


def _is_part(broadcast: pb.Broadcast | broadcasts_pb2.Broadcast) -> bool:
    """Whether the payload continues in the next broadcast. Those of the registry are small, and always whole."""
    return isinstance(broadcast, broadcasts_pb2.Broadcast) and broadcast.continues


def _build_announcement(event: LiveEvent, broadcast: pb.Broadcast | broadcasts_pb2.Broadcast) -> LiveEvent | None:
    """Return what other workspaces receive; `None` for nothing.

    A broadcast of the registry that names no other payload has no content.
    """
    if broadcast.HasField("announced_payload"):
        return replace(event, payload=broadcast.announced_payload)
    return event if isinstance(broadcast, pb.Broadcast) else None


def live_event_from_stored(event: pb.StoredEvent) -> LiveEvent:
    """Return a stored event as it is delivered."""
    return LiveEvent(
        type=event.event_type,
        workspace_id=event.workspace_id,
        payload=event.payload,
        at=event.created_at,
        event_id=event.event_id,
    )
