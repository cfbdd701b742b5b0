"""Events, and to whom they are told, on the wire."""

from collections.abc import Iterable

from protos.registry.v1 import events_pb2 as pb
from services.chassis.timestamps import timestamp_from_datetime
from services.registry.workspace.audiences import Audiences, WorkspaceAudiences
from services.registry.workspace.events import Broadcast, Event, render_payload


def stored_to(event: Event) -> pb.StoredEvent:
    """An event that is kept."""
    return pb.StoredEvent(
        event_id=event.event_id,
        event_type=event.type,
        workspace_id=event.workspace_id,
        payload=event.payload.encode(),
        created_at=timestamp_from_datetime(event.created_at),
    )


def published_to(event: Event, circles: Audiences) -> pb.PublishedEvent:
    """An event on its way to those it is told to."""
    return pb.PublishedEvent(event=stored_to(event), published_to=circles)


def placements_to(placed: Iterable[WorkspaceAudiences]) -> pb.WorkspaceAudiencesUpdate:
    """Where news of workspaces is told."""
    return pb.WorkspaceAudiencesUpdate(
        workspaces=[
            pb.WorkspaceAudiences(
                workspace_id=one.workspace_id, published_to=one.published_to, subscribed_to=one.subscribed_to
            )
            for one in placed
        ]
    )


def broadcast_to(broadcast: Broadcast) -> pb.Broadcast:
    """Something that is told once."""
    return pb.Broadcast(
        event_type=broadcast.type,
        workspace_id=broadcast.workspace_id,
        payload=render_payload(broadcast.payload).encode(),
        created_at=timestamp_from_datetime(broadcast.at),
    )
