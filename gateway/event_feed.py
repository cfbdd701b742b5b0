"""What happens, carried to those who may hear of it.

One stream from the registry brings every stored event in order, and with it the circles of every workspace; one from
each replica of the registry and of the A2A proxy brings what is told once. Listeners are known by the circles they
listen to, so news costs its own circles and those who hear it, however many listen to something else.
"""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any, assert_never, cast

import structlog

from gateway.live_event import LiveEvent
from gateway.subscriptions import EndReason, EventSubscription, SubscriptionEnded
from protos.a2a_proxy.v1 import broadcasts_pb2, broadcasts_pb2_grpc
from protos.registry.v1 import events_pb2 as pb
from protos.registry.v1 import events_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel
from services.chassis.errors import ServiceError, Unavailable

log = structlog.get_logger()

SILENCE = 8.0
"""Seconds without a word after which circles are not believed any more, and what is told once is not told on."""

PAUSE = 0.2
"""Seconds before a broken stream is asked for again."""

INITIAL_READ_TIMEOUT_SECONDS = 5.0
"""Seconds that a listener waits for a gateway that has only just started."""

EVENT_ID_GONE = "EVENT_ID_GONE"
"""What the registry says where events that this gateway has missed are not kept any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscribedAudiences:
    """The circles to listen to: these, and those of a workspace as they change."""

    subscribed_to: tuple[str, ...] = ()
    subscribed_as: str = ""


class EventFeed:
    """Knows who listens to what, and up to which event everybody has been told."""

    def __init__(
        self,
        registry: ServiceChannel,
        *,
        registries: Sequence[ServiceChannel] = (),
        proxies: Sequence[ServiceChannel] = (),
    ) -> None:
        """`registry` is any replica; `registries` and `proxies` are a line to each."""
        self._registry = registry
        self._registries = registries
        self._proxies = proxies
        self._reached = 0
        self._begun = asyncio.Event()
        self._heard = float("-inf")
        self._told_to: dict[str, tuple[str, ...]] = {}
        self._listens_to: dict[str, tuple[str, ...]] = {}
        self._audience = SubscriberIndex()
        self._listened_to = asyncio.Event()
        self._leaving = False

    async def run(self) -> None:
        """Carry news until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            for line in self._registries:
                group.create_task(self._tap(line, rpc.EventServiceStub(line.channel), pb.WatchBroadcastsRequest()))
            for line in self._proxies:
                stub = broadcasts_pb2_grpc.BroadcastServiceStub(line.channel)
                group.create_task(self._tap(line, stub, broadcasts_pb2.WatchBroadcastsRequest()))

    async def reached(self) -> int:
        """Up to which event everybody has been told; raises `Unavailable` while that is not known."""
        try:
            async with asyncio.timeout(INITIAL_READ_TIMEOUT_SECONDS):
                await self._begun.wait()
        except TimeoutError:
            raise Unavailable from None
        if self._leaving:
            raise SubscriptionEnded(EndReason.LEAVING)
        return self._reached

    @contextmanager
    def attached(self, listener: EventSubscription, view: SubscribedAudiences) -> Iterator[None]:
        """From here on the listener hears everything in its view. Between `reached` and here nothing may be awaited."""
        circles = (*view.subscribed_to, *self._listens_to.get(view.subscribed_as, ()))
        self._audience.add(listener, circles, view.subscribed_as)
        self._listened_to.set()
        try:
            yield
        finally:
            self._audience.discard(listener)
            if not self._audience:
                self._listened_to.clear()

    def leave(self) -> None:
        """Send everybody away: this gateway stops."""
        self._leaving = True
        self._audience.end(EndReason.LEAVING)

    # Stored events ───────────────────────────────────────────────────────────

    async def _follow(self) -> None:
        """Read the events until cancelled, coming back by itself. A stream that stays away is told of once."""
        told_of: float | None = None
        while True:
            try:
                await self._follow_once()
            except (ServiceError, TimeoutError) as error:
                if told_of != self._heard:
                    told_of = self._heard
                    log.warning("events lost", reached=self._reached, error=repr(error))
                if isinstance(error, ServiceError) and error.reason == EVENT_ID_GONE:
                    self._begin_anew()
            await asyncio.sleep(PAUSE)

    async def _follow_once(self) -> None:
        stub = rpc.EventServiceStub(self._registry.channel)
        request = pb.WatchEventsRequest(after_event_id=self._reached)
        standing: set[str] = set()
        feed = cast("AsyncGenerator[pb.WatchEventsResponse, None]", self._registry.watch(stub.WatchEvents, request))
        async with aclosing(feed):
            while True:
                async with asyncio.timeout(SILENCE):
                    message = await anext(feed, None)
                if message is None:
                    return
                self._heard = time.monotonic()
                self._take(message, standing)

    def _take(self, message: pb.WatchEventsResponse, standing: set[str]) -> None:
        kind = message.WhichOneof("update")
        match kind:
            case "audiences":
                for placement in message.audiences.workspaces:
                    standing.add(placement.workspace_id)
                    self._place(placement)
            case "event":
                self._tell(message.event.event, message.event.published_to)
            case "caught_up":
                for workspace_id in self._told_to.keys() - standing:
                    self._place(pb.WorkspaceAudiences(workspace_id=workspace_id))
                self._reached = max(self._reached, message.caught_up.event_id)
                self._begun.set()
            case "keepalive" | None:
                pass
            case _:
                assert_never(kind)

    def _place(self, placement: pb.WorkspaceAudiences) -> None:
        workspace_id = sys.intern(placement.workspace_id)
        if not placement.published_to:
            self._told_to.pop(workspace_id, None)
            self._listens_to.pop(workspace_id, None)
        else:
            self._told_to[workspace_id] = tuple(map(sys.intern, placement.published_to))
            self._listens_to[workspace_id] = tuple(map(sys.intern, placement.subscribed_to))
        self._audience.moved(workspace_id, self._listens_to.get(workspace_id, ()))

    def _tell(self, event: pb.StoredEvent, circles: Iterable[str]) -> None:
        if event.event_id <= self._reached:
            return
        self._audience.tell(live_event_from_stored(event), circles)
        self._reached = event.event_id

    def _begin_anew(self) -> None:
        """What was missed is not kept any more: whoever listens must find that out for itself."""
        self._audience.end(EndReason.LEAVING)
        self._begun.clear()
        self._reached = 0

    # What is told once ───────────────────────────────────────────────────────

    async def _tap(self, line: ServiceChannel, stub: Any, request: Any) -> None:  # noqa: ANN401 - of one service or the other
        """Listen to a replica while anybody listens here."""
        while True:
            await self._listened_to.wait()
            try:
                await self._tap_once(line.watch(stub.WatchBroadcasts, request))
            except ServiceError as error:
                log.info("broadcasts lost", error=repr(error))
            await asyncio.sleep(PAUSE)

    async def _tap_once(self, feed: AsyncGenerator[Any, None]) -> None:
        async with aclosing(feed):
            async for message in feed:
                if not self._listened_to.is_set():
                    return
                for told in message.broadcasts:
                    self._broadcast(told)

    def _broadcast(self, told: pb.Broadcast | broadcasts_pb2.Broadcast) -> None:
        """Tell on what is told once, if it is known who may hear it: by a stream that is alive."""
        if time.monotonic() - self._heard > SILENCE:
            return
        circles = self._told_to.get(told.workspace_id)
        if circles is not None:
            news = LiveEvent(
                type=told.event_type, workspace_id=told.workspace_id, payload=told.payload, at=told.created_at
            )
            self._audience.tell(news, circles)


def live_event_from_stored(event: pb.StoredEvent) -> LiveEvent:
    """A stored event as news."""
    return LiveEvent(
        type=event.event_type,
        workspace_id=event.workspace_id,
        payload=event.payload,
        at=event.created_at,
        event_id=event.event_id,
    )


class SubscriberIndex:
    """Those who listen, by the circles that they listen to."""

    def __init__(self) -> None:
        self._by_circle: dict[str, set[EventSubscription]] = {}
        self._as: dict[str, set[EventSubscription]] = {}
        self._circles: dict[EventSubscription, tuple[str, ...]] = {}
        self._listens_as: dict[EventSubscription, str] = {}

    def __bool__(self) -> bool:
        return bool(self._circles)

    def add(self, listener: EventSubscription, circles: tuple[str, ...], subscribed_as: str) -> None:
        """Somebody listens to these circles, which are those of a workspace where it listens as one."""
        self._circles[listener] = circles
        for circle in circles:
            self._by_circle.setdefault(circle, set()).add(listener)
        if subscribed_as:
            self._listens_as[listener] = subscribed_as
            self._as.setdefault(subscribed_as, set()).add(listener)

    def discard(self, listener: EventSubscription) -> None:
        """It listens no more."""
        for circle in self._circles.pop(listener, ()):
            _discard(self._by_circle, circle, listener)
        _discard(self._as, self._listens_as.pop(listener, ""), listener)

    def moved(self, workspace_id: str, circles: tuple[str, ...]) -> None:
        """Whoever listens as this workspace listens to other circles from now on."""
        for listener in list(self._as.get(workspace_id, ())):
            self.discard(listener)
            self.add(listener, circles, workspace_id)

    def tell(self, news: LiveEvent, circles: Iterable[str]) -> None:
        """Tell everybody who listens to one of the circles, once."""
        heard: set[EventSubscription] = set()
        for circle in circles:
            heard |= self._by_circle.get(circle, _NOBODY)
        for listener in heard:
            listener.hear(news)

    def end(self, ending: EndReason) -> None:
        """Nobody hears any more."""
        for listener in list(self._circles):
            listener.end(ending)


_NOBODY: frozenset[EventSubscription] = frozenset()


def _discard(index: dict[str, set[EventSubscription]], name: str, listener: EventSubscription) -> None:
    found = index.get(name)
    if found is not None:
        found.discard(listener)
        if not found:
            del index[name]
