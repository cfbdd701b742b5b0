"""Memories and entries as the JSON that the REST contract promises."""

import json
from typing import Any, NotRequired

from typing_extensions import TypedDict

from gateway import json_format
from protos.registry.v1 import entries_pb2, memories_pb2


class Memory(TypedDict):
    """Something that is remembered."""

    id: str
    workspace_id: str
    scope: str
    namespace: str
    content: str
    created_at: str


class Entry(TypedDict):
    """A value under a key."""

    key: str
    value: Any
    version: int
    updated_at: str
    expires_at: NotRequired[str]


def memory(message: memories_pb2.Memory) -> Memory:
    """A memory."""
    return Memory(
        id=message.id,
        workspace_id=message.workspace_id,
        scope=message.scope,
        namespace=message.namespace,
        content=message.content,
        created_at=json_format.format_timestamp(message.created_at),
    )


def entry(message: entries_pb2.Entry) -> Entry:
    """An entry; when it expires only where it does."""
    rendered = Entry(
        key=message.key,
        value=json.loads(message.value),
        version=message.version,
        updated_at=json_format.format_timestamp(message.updated_at),
    )
    if message.HasField("expires_at"):
        rendered["expires_at"] = json_format.format_timestamp(message.expires_at)
    return rendered
