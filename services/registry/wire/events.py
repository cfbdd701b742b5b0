"""Converts events, broadcasts and audiences to protobuf."""

from collections.abc import Iterable

from protos.registry.v1 import events_pb2 as pb
from services.chassis.timestamps import timestamp_from_datetime
from services.registry.feeds.event_log import PublishedEvent
from services.registry.workspace import event_content
from services.registry.workspace.audiences import WorkspaceAudiences
from services.registry.workspace.events import Broadcast, Event, RelayedEvent, render_payload
from services.registry.workspace.model import WorkspaceId


def stored_event_to_proto(event: Event) -> pb.StoredEvent:
    return pb.StoredEvent(
        event_id=event.event_id,
        event_type=event.type,
        workspace_id=event.workspace_id,
        payload=event.payload.encode(),
        created_at=timestamp_from_datetime(event.created_at),
    )


def relayed_event_from_proto(message: pb.RecordedEvent) -> RelayedEvent:
    """Return an event of another service, unchecked."""
    return RelayedEvent(
        id=message.id,
        type=message.event_type,
        workspace_id=WorkspaceId(message.workspace_id),
        payload=message.payload,
    )


def published_event_to_proto(published: PublishedEvent) -> pb.PublishedEvent:
    """Return the event with its audiences, and what those receive to which it is only announced."""
    announced = event_content.remove_content(published.event)
    return pb.PublishedEvent(
        event=stored_event_to_proto(published.event),
        published_to=published.published_to,
        announced_to=published.announced_to,
        announced_payload=None if announced is published.event else announced.payload.encode(),
    )


def audiences_to_proto(workspaces: Iterable[WorkspaceAudiences]) -> pb.WorkspaceAudiencesUpdate:
    """Return the audiences of several workspaces, in one update."""
    return pb.WorkspaceAudiencesUpdate(
        workspaces=[
            pb.WorkspaceAudiences(
                workspace_id=one.workspace_id,
                published_to=one.published_to,
                announced_to=one.announced_to,
                subscribed_to=one.subscribed_to,
            )
            for one in workspaces
        ]
    )


def broadcast_to_proto(broadcast: Broadcast) -> pb.Broadcast:
    """Return the broadcast, and what those receive to which it is only announced."""
    announced = event_content.remove_broadcast_content(broadcast)
    return pb.Broadcast(
        event_type=broadcast.type,
        workspace_id=broadcast.workspace_id,
        payload=render_payload(broadcast.payload).encode(),
        created_at=timestamp_from_datetime(broadcast.at),
        announced_payload=None if announced is broadcast else render_payload(announced.payload).encode(),
    )
