"""What agents remember, and what they keep by key."""

from typing import Any

from gateway.request_body import Int64, NonEmptyText, RequestModel


class NewMemory(RequestModel):
    """Body of POST /workspaces/{id}/memories."""

    content: NonEmptyText
    scope: str = ""
    namespace: str = ""


class NewEntry(RequestModel):
    """Body of POST /workspaces/{id}/memory."""

    key: str = ""
    value: Any = None
    ttl_seconds: Int64 | None = None
    if_match_version: Int64 | None = None
