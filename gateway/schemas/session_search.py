"""Results of a search over activity and memories of a workspace."""

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from gateway import json_format
from gateway.schemas.names import DateTime
from protos.a2a_proxy.v1 import activity_pb2
from protos.registry.v1 import memories_pb2


class FoundItem(TypedDict):
    """An activity row or a memory that contains the text."""

    id: str
    kind: Literal["activity", "memory"]
    workspace_id: str
    label: str
    content: str
    method: str
    status: str
    created_at: DateTime
    request_body: NotRequired[Any]
    response_body: NotRequired[Any]


def render_found_activity(message: activity_pb2.Activity) -> FoundItem:
    """Return an activity row. Its label is the type, and its content the summary, or else the error."""
    rendered = FoundItem(
        id=message.id,
        kind="activity",
        workspace_id=message.workspace_id,
        label=message.activity_type,
        content=message.summary or message.error_detail,
        method=message.method,
        status=message.status,
        created_at=json_format.format_timestamp(message.created_at),
    )
    if message.HasField("request_body"):
        rendered["request_body"] = json_format.embed_stored(message.request_body)
    if message.HasField("response_body"):
        rendered["response_body"] = json_format.embed_stored(message.response_body)
    return rendered


def render_found_memory(message: memories_pb2.Memory) -> FoundItem:
    """Return a memory. Its label is the namespace."""
    return FoundItem(
        id=message.id,
        kind="memory",
        workspace_id=message.workspace_id,
        label=message.namespace,
        content=message.content,
        method="",
        status="",
        created_at=json_format.format_timestamp(message.created_at),
    )
