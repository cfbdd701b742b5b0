"""Memories: texts that an agent keeps."""

from typing import Literal

from typing_extensions import TypedDict

from gateway import json_format
from gateway.schemas.names import DateTime, MemoryScopeName
from gateway.schemas.request_model import NonEmptyText, RequestModel
from protos.registry.v1 import memories_pb2


class NewMemory(RequestModel):
    """Body of POST /workspaces/{id}/memories."""

    content: NonEmptyText
    scope: str = ""
    namespace: str = ""


class CommittedMemory(TypedDict):
    """Answer of a new memory."""

    id: str
    namespace: str
    scope: MemoryScopeName


class DeletionResult(TypedDict):
    """Answer of whatever was deleted."""

    status: Literal["deleted"]


class Memory(TypedDict):
    """Something that is remembered."""

    id: str
    workspace_id: str
    scope: MemoryScopeName
    namespace: str
    content: str
    created_at: DateTime


def render_memory(message: memories_pb2.Memory) -> Memory:
    """Return a memory."""
    return Memory(
        id=message.id,
        workspace_id=message.workspace_id,
        scope=message.scope,
        namespace=message.namespace,
        content=message.content,
        created_at=json_format.format_timestamp(message.created_at),
    )
