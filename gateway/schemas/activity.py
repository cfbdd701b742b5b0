"""Activity of workspaces."""

from typing import Any, NotRequired

from typing_extensions import TypedDict

from gateway import json_format
from gateway.schemas.names import DateTime
from protos.a2a_proxy.v1 import activity_pb2


class Activity(TypedDict):
    """One thing that an agent did or received."""

    id: str
    workspace_id: str
    activity_type: str
    source_id: str | None
    target_id: str | None
    method: str | None
    summary: str | None
    status: str
    duration_ms: int | None
    error_detail: str | None
    created_at: DateTime
    request_body: NotRequired[Any]
    response_body: NotRequired[Any]
    tool_trace: NotRequired[Any]


def render_activity(message: activity_pb2.Activity) -> Activity:
    """Return an activity row as JSON. Bodies that are not stored are left out."""
    rendered = Activity(
        id=message.id,
        workspace_id=message.workspace_id,
        activity_type=message.activity_type,
        source_id=message.source_id if message.HasField("source_id") else None,
        target_id=message.target_id if message.HasField("target_id") else None,
        method=message.method if message.HasField("method") else None,
        summary=message.summary if message.HasField("summary") else None,
        status=message.status,
        duration_ms=message.duration_ms if message.HasField("duration_ms") else None,
        error_detail=message.error_detail if message.HasField("error_detail") else None,
        created_at=json_format.format_timestamp(message.created_at),
    )
    if message.HasField("request_body"):
        rendered["request_body"] = json_format.embed_stored(message.request_body)
    if message.HasField("response_body"):
        rendered["response_body"] = json_format.embed_stored(message.response_body)
    if message.HasField("tool_trace"):
        rendered["tool_trace"] = json_format.embed_stored(message.tool_trace)
    return rendered
