"""An event as clients receive it: frames of event streams and of WebSockets (docs/spec/rest.md, 8.2 and 8.3)."""

from dataclasses import dataclass
from functools import cached_property

from google.protobuf.timestamp_pb2 import Timestamp

from gateway import json_format

KEEPALIVE_FRAME = b": ping\n\n"
"""A comment, which keeps a quiet stream open."""


@dataclass(frozen=True, kw_only=True)
class LiveEvent:
    """A stored event or a broadcast. Each frame is encoded once for all subscribers. `payload` is JSON on one line."""

    type: str
    workspace_id: str
    payload: bytes
    at: Timestamp
    event_id: int | None = None
    """The position of a stored event; a broadcast has none."""

    @cached_property
    def sse_frame(self) -> bytes:
        """The frame of an event stream."""
        head = b"" if self.event_id is None else b"id: %d\n" % self.event_id
        return head + b'data: {"type":"%s","timestamp":%d%s,"data":%s}\n\n' % (
            self.type.encode(),
            self.at.ToMilliseconds(),
            self._render_event_id(),
            self.payload or b"{}",
        )

    @cached_property
    def websocket_frame(self) -> str:
        """The frame of a WebSocket."""
        frame = b'{"event":"%s","workspace_id":"%s","timestamp":"%s","payload":%s%s}' % (
            self.type.encode(),
            self.workspace_id.encode(),
            json_format.format_timestamp(self.at).encode(),
            self.payload or b"{}",
            self._render_event_id(),
        )
        return frame.decode()

    def _render_event_id(self) -> bytes:
        return b"" if self.event_id is None else b',"event_id":%d' % self.event_id
