"""What agents remember, and what they keep by key."""

from typing import Any

from gateway.bodies import Int64, Name, Shape


class NewMemory(Shape):
    """Body of POST /workspaces/{id}/memories."""

    content: Name
    scope: str = ""
    namespace: str = ""


class NewEntry(Shape):
    """Body of POST /workspaces/{id}/memory."""

    key: str = ""
    value: Any = None
    ttl_seconds: Int64 | None = None
    if_match_version: Int64 | None = None
