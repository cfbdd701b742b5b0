"""The ids that the plane gives to the events of a stream: `<id of the stream>:<number of the event>`.

The beginning of a stream id is derived from the workspace. So an id that another plane behind this one gave, or an
agent, is told from one whose stream is not kept any more.
"""

import re
from hashlib import sha256
from uuid import UUID

from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.streams.model import EventId

TAG_BYTES = 4

ENTROPY_BYTES = 12

EVENT_ID = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):([0-9]{1,15})")


def build_stream_id(target: WorkspaceId, entropy: bytes) -> str:
    """Return the id of a new stream of a workspace; `entropy` are ENTROPY_BYTES."""
    return str(UUID(bytes=_derive_tag(target) + entropy[:ENTROPY_BYTES]))


def render_event_id(stream_id: str, seq: int) -> str:
    """Return the id of an event."""
    return f"{stream_id}:{seq}"


def parse_event_id(text: str, target: WorkspaceId) -> EventId | None:
    """Return the position that an id names; `None` for an id that this plane did not give to a stream of `target`."""
    found = EVENT_ID.fullmatch(text)
    if found is None or UUID(found[1]).bytes[:TAG_BYTES] != _derive_tag(target):
        return None
    return EventId(found[1], int(found[2]))


def _derive_tag(target: WorkspaceId) -> bytes:
    return sha256(f"stream/{target}".encode()).digest()[:TAG_BYTES]
