"""Fake event and broadcast services: real servicers that publish what a test publishes."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from protos.a2a_proxy.v1 import broadcasts_pb2, broadcasts_pb2_grpc
from protos.registry.v1 import events_pb2 as pb
from protos.registry.v1 import events_pb2_grpc as rpc
from services.chassis import identity
from services.chassis.errors import FailedPrecondition, NotFound, Unavailable
from services.chassis.identity import Kind
from services.chassis.service import Servicer


class EventIdGone(FailedPrecondition):
    domain = "molecule.registry.v1"
    reason = "EVENT_ID_GONE"
    message = "event id no longer available"


class WorkspaceNotFound(NotFound):
    domain = "molecule.registry.v1"
    reason = "WORKSPACE_NOT_FOUND"
    message = "workspace not found"


@dataclass
class FakeEventService(rpc.EventServiceServicer):
    """The event service of a registry with the workspaces and events of a test."""

    audiences: dict[str, tuple[list[str], list[str], list[str]]] = field(default_factory=dict)
    events: list[pb.PublishedEvent] = field(default_factory=list)
    oldest_event_id: int = 0
    removed: set[str] = field(default_factory=set)
    is_unavailable: bool = False
    watched_after: list[int] = field(default_factory=list)
    resolved: list[tuple[identity.Identity, pb.ResolveSubscriptionRequest]] = field(default_factory=list)
    replays: list[pb.ReplayEventsRequest] = field(default_factory=list)
    page: int = 500
    before_replay: list = field(default_factory=list)
    broadcasting: list[asyncio.Queue] = field(default_factory=list)
    _watchers: list[asyncio.Queue] = field(default_factory=list)

    # Actions of a test ───────────────────────────────────────────────────────

    def place_workspace(
        self,
        workspace_id: str,
        published_to: list[str] | None = None,
        subscribed_to: list[str] | None = None,
        announced_to: list[str] | None = None,
    ) -> None:
        """Set the audiences of a workspace."""
        published_to = ["everything", f"one:{workspace_id}", *(published_to or [])]
        self.audiences[workspace_id] = published_to, subscribed_to or [], announced_to or []
        self._send(
            pb.WatchEventsResponse(audiences=pb.WorkspaceAudiencesUpdate(workspaces=[self._audiences_of(workspace_id)]))
        )

    def publish(
        self, workspace_id: str, event_type: str = "WORKSPACE_ONLINE", announced: bytes | None = None, **payload
    ) -> int:
        """Publish a stored event; returns its id. `announced` is its payload without content."""
        number = self.events[-1].event.event_id + 10 if self.events else max(self.oldest_event_id, 0) + 10
        event = pb.StoredEvent(
            event_id=number,
            event_type=event_type,
            workspace_id=workspace_id,
            payload=json.dumps(payload, separators=(",", ":")).encode(),
            created_at=Timestamp(seconds=1_777_624_200, nanos=123_456_000),
        )
        published_to, _, announced_to = self.audiences.get(
            workspace_id, (["everything", f"one:{workspace_id}"], [], [])
        )
        self.events.append(
            pb.PublishedEvent(
                event=event, published_to=published_to, announced_to=announced_to, announced_payload=announced
            )
        )
        self._send(pb.WatchEventsResponse(event=self.events[-1]))
        return number

    def send_keepalive(self) -> None:
        self._send(pb.WatchEventsResponse(keepalive=Duration(seconds=2)))

    def broadcast(
        self, workspace_id: str, event_type: str = "WORKSPACE_HEARTBEAT", announced: bytes | None = None, **payload
    ) -> None:
        """Publish a broadcast."""
        broadcast = pb.Broadcast(
            event_type=event_type,
            workspace_id=workspace_id,
            payload=json.dumps(payload, separators=(",", ":")).encode(),
            created_at=Timestamp(seconds=1_777_624_200),
            announced_payload=announced,
        )
        for queue in self.broadcasting:
            queue.put_nowait(pb.WatchBroadcastsResponse(broadcasts=[broadcast]))

    def break_feeds(self) -> None:
        """Break every event feed."""
        self._send(None)
        self._watchers.clear()

    def _send(self, message: pb.WatchEventsResponse | None) -> None:
        for queue in self._watchers:
            queue.put_nowait(message)

    def _audiences_of(self, workspace_id: str) -> pb.WorkspaceAudiences:
        published_to, subscribed_to, announced_to = self.audiences[workspace_id]
        return pb.WorkspaceAudiences(
            workspace_id=workspace_id,
            published_to=published_to,
            subscribed_to=subscribed_to,
            announced_to=announced_to,
        )

    # RPCs ────────────────────────────────────────────────────────────────────

    async def WatchEvents(self, request, context) -> AsyncIterator[pb.WatchEventsResponse]:
        if self.is_unavailable:
            raise Unavailable
        self.watched_after.append(request.after_event_id)
        if 0 < request.after_event_id < self.oldest_event_id:
            raise EventIdGone
        queue: asyncio.Queue = asyncio.Queue()
        past = [event for event in self.events if event.event.event_id > request.after_event_id]
        placements = [self._audiences_of(workspace_id) for workspace_id in self.audiences]
        self._watchers.append(queue)
        yield pb.WatchEventsResponse(audiences=pb.WorkspaceAudiencesUpdate(workspaces=placements))
        if request.after_event_id:
            for event in past:
                yield pb.WatchEventsResponse(event=event)
        reached = self.events[-1].event.event_id if self.events else self.oldest_event_id
        yield pb.WatchEventsResponse(caught_up=pb.CaughtUp(event_id=reached))
        while (message := await queue.get()) is not None:
            yield message

    async def WatchBroadcasts(self, request, context) -> AsyncIterator[pb.WatchBroadcastsResponse]:
        queue: asyncio.Queue = asyncio.Queue()
        self.broadcasting.append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self.broadcasting.remove(queue)

    async def ResolveSubscription(self, request, context) -> pb.ResolveSubscriptionResponse:
        caller = identity.current()
        self.resolved.append((caller, request))
        if request.workspace_id and request.workspace_id not in self.audiences:
            raise WorkspaceNotFound
        if request.HasField("after_event_id") and request.after_event_id < self.oldest_event_id:
            raise EventIdGone
        over = request.workspace_id in self.removed
        return pb.ResolveSubscriptionResponse(
            subscribed_to=self._subscribed_to(caller, request.workspace_id),
            subscribed_as=caller.name if caller.kind is Kind.WORKSPACE and not request.workspace_id else "",
            ended=over,
            head_event_id=self.events[-1].event.event_id if self.events else self.oldest_event_id,
        )

    async def ReplayEvents(self, request, context) -> pb.ReplayEventsResponse:
        self.replays.append(request)
        if self.before_replay:
            self.before_replay.pop(0)()
        caller = identity.current()
        audiences = set(self._subscribed_to(caller, request.workspace_id))
        if caller.kind is Kind.WORKSPACE and not request.workspace_id:
            audiences |= set(self.audiences[caller.name][1])
        through = request.through_event_id or 2**62
        found = [
            event.event
            for event in self.events
            if request.after_event_id < event.event.event_id <= through and audiences & set(event.published_to)
        ]
        return pb.ReplayEventsResponse(events=found[: self.page], more=len(found) > self.page)

    def _subscribed_to(self, caller: identity.Identity, workspace_id: str) -> list[str]:
        if workspace_id:
            return [f"one:{workspace_id}"]
        match caller.kind:
            case Kind.ORG:
                return [f"org:{caller.org_id}"]
            case Kind.WORKSPACE:
                return []
            case _:
                return ["everything"]

    def servicer(self) -> Servicer:
        contract = pb.DESCRIPTOR.services_by_name["EventService"]
        return Servicer(contract=contract, add=rpc.add_EventServiceServicer_to_server, servicer=self)


@dataclass
class FakeBroadcastService(broadcasts_pb2_grpc.BroadcastServiceServicer):
    """The broadcast service of an A2A proxy."""

    listeners: list[asyncio.Queue] = field(default_factory=list)

    def broadcast(
        self, workspace_id: str, payload: bytes, *, announced: bytes | None = None, continues: bool = False
    ) -> None:
        broadcast = broadcasts_pb2.Broadcast(
            event_type="ACTIVITY_LOGGED",
            workspace_id=workspace_id,
            payload=payload,
            announced_payload=announced,
            continues=continues,
        )
        for queue in self.listeners:
            queue.put_nowait(broadcasts_pb2.WatchBroadcastsResponse(broadcasts=[broadcast]))

    def break_streams(self) -> None:
        """End every open stream."""
        for queue in self.listeners:
            queue.put_nowait(None)

    async def WatchBroadcasts(self, request, context) -> AsyncIterator[broadcasts_pb2.WatchBroadcastsResponse]:
        queue: asyncio.Queue = asyncio.Queue()
        self.listeners.append(queue)
        try:
            while (message := await queue.get()) is not None:
                yield message
        finally:
            self.listeners.remove(queue)

    def servicer(self) -> Servicer:
        return Servicer(
            contract=broadcasts_pb2.DESCRIPTOR.services_by_name["BroadcastService"],
            add=broadcasts_pb2_grpc.add_BroadcastServiceServicer_to_server,
            servicer=self,
        )
