"""The limits of a connection: bytes, counts and seconds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """What a client may send, how long it may take, and how many connections it may open."""

    target_bytes: int = 16 * 1024
    """Size of a request target."""
    field_bytes: int = 64 * 1024
    """Size of the names and values of all header fields and trailer fields of a request."""
    fields: int = 128
    """Number of header fields and trailer fields of a request."""
    framing_bytes: int = 16 * 1024
    """Bytes of a chunked body that are no content, besides `CHUNK_FRAMING_BYTES` for each chunk."""
    waiting_requests: int = 32
    """Pipelined requests that wait for the response to an earlier one."""
    discarded_bytes: int = 16 * 1024 * 1024
    """Bytes that the server reads and discards after it has answered."""

    head_seconds: float = 30.0
    """Time from the first byte of a request, or from the start of the connection, to the end of its head."""
    body_seconds: float = 30.0
    """Time without progress of a body. `BODY_BYTES_PER_SECOND` are progress of a second."""
    idle_seconds: float = 80.0
    """Time between two requests; longer than `KEEP_ALIVE_SECONDS`, so that a client closes first."""
    probe_seconds: float = 5.0
    """Time between two interim responses to a client that has ended its direction, while it waits for its answer."""
    linger_seconds: float = 2.0
    """Time that a client has to read an early response before the server closes the connection."""

    connections_per_address: int = 1024
    """Connections from one address."""


KEEP_ALIVE_SECONDS = 75
"""Seconds for which clients may keep an idle connection, as the server tells them."""

BODY_BYTES_PER_SECOND = 512
"""The slowest rate at which a body may arrive."""

CHUNK_FRAMING_BYTES = 32
"""Bytes for the size, the extensions and the line ends of a chunk."""

HIGH_WATER_BYTES = 64 * 1024
"""Bytes of a body that are kept before the server stops reading; also the rest of a body that is worth reading."""

WEBSOCKET_LINE_BYTES = 8000
"""Size of a header field, and of a target, that opens a WebSocket. The WebSocket library refuses longer ones."""


def body_deadline(deadline: float, now: float, received: int, limits: ConnectionLimits) -> float:
    """Return the deadline of a body after `received` more bytes: later by their share, at most by `body_seconds`."""
    return min(deadline + received / BODY_BYTES_PER_SECOND, now + limits.body_seconds)


def is_framing_excessive(framing_bytes: int, chunks: int, limits: ConnectionLimits) -> bool:
    """Whether a chunked body has more bytes that are no content than its chunks need."""
    return framing_bytes > limits.framing_bytes + chunks * CHUNK_FRAMING_BYTES


def max_connections(descriptors: int) -> int:
    """Return how many connections fit into the descriptors of a process, which needs some for itself."""
    return max(1, descriptors - max(64, descriptors // 8))


def max_connections_per_address(connections: int, limits: ConnectionLimits) -> int:
    """Return how many connections one address may have: at most half of all."""
    return max(1, min(limits.connections_per_address, connections // 2))
