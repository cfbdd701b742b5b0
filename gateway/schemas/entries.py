"""Entries: values that an agent keeps by key."""

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from gateway import json_format
from gateway.schemas.names import DateTime
from gateway.schemas.request_model import Int64, RequestModel
from protos.registry.v1 import entries_pb2


class NewEntry(RequestModel):
    """Body of POST /workspaces/{id}/memory."""

    key: str = ""
    value: Any = None
    ttl_seconds: Int64 | None = None
    if_match_version: Int64 | None = None


class EntryWriteResult(TypedDict):
    """Answer of a value that was written."""

    key: str
    status: Literal["ok"]
    version: int


class Entry(TypedDict):
    """A value under a key."""

    key: str
    value: Any
    version: int
    updated_at: DateTime
    expires_at: NotRequired[DateTime]


def render_entry(message: entries_pb2.Entry) -> Entry:
    """Return an entry. `expires_at` is left out if it never expires."""
    rendered = Entry(
        key=message.key,
        value=json_format.embed_stored(message.value),
        version=message.version,
        updated_at=json_format.format_timestamp(message.updated_at),
    )
    if message.HasField("expires_at"):
        rendered["expires_at"] = json_format.format_timestamp(message.expires_at)
    return rendered
