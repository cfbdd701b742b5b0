"""News as clients read it: the frames of event streams and of sockets (docs/spec/rest.md, 8.2 and 8.3)."""

from dataclasses import dataclass
from functools import cached_property

from google.protobuf.timestamp_pb2 import Timestamp

from gateway import json_format

KEEPALIVE_FRAME = b": ping\n\n"
"""What keeps a stream alive: a comment."""


@dataclass(frozen=True, kw_only=True)
class LiveEvent:
    """Something to be told. Put into words once, however many hear it. `payload` is JSON on one line."""

    type: str
    workspace_id: str
    payload: bytes
    at: Timestamp
    event_id: int | None = None
    """Its place in the one sequence of the plane, where it is kept."""

    @cached_property
    def chunk(self) -> bytes:
        """The frame of an event stream."""
        head = b"" if self.event_id is None else b"id: %d\n" % self.event_id
        return head + b'data: {"type":"%s","timestamp":%d%s,"data":%s}\n\n' % (
            self.type.encode(),
            self.at.ToMilliseconds(),
            self._numbered(),
            self.payload or b"{}",
        )

    @cached_property
    def text(self) -> str:
        """The frame of a socket."""
        told = b'{"event":"%s","workspace_id":"%s","timestamp":"%s","payload":%s%s}' % (
            self.type.encode(),
            self.workspace_id.encode(),
            json_format.format_timestamp(self.at).encode(),
            self.payload or b"{}",
            self._numbered(),
        )
        return told.decode()

    def _numbered(self) -> bytes:
        return b"" if self.event_id is None else b',"event_id":%d' % self.event_id
