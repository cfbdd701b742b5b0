"""Converts the metadata of a call into the headers of a request, and headers of the answer into metadata. Pure."""

import math
from collections.abc import Iterable
from typing import TypeAlias
from urllib.parse import unquote

from gateway.cors import RawHeaders
from molecule_a2a.extension_headers import may_be_extension_header

Metadata: TypeAlias = Iterable[tuple[str, str | bytes]]

MAX_TIMEOUT_SECONDS = 86_400
"""The longest X-Timeout."""

WORKSPACE = "x-molecule-workspace"
"""Names the workspace of a request whose tenant does not."""

READ_METADATA = frozenset(
    {
        "authorization",
        "a2a-version",
        "a2a-extensions",
        "x-a2a-extensions",
        "baggage",
        "prefer",
        "traceparent",
        "tracestate",
        "x-forwarded-for",
        "x-molecule-hops",
        "x-request-id",
        "x-timeout",
        "x-workspace-id",
    }
)
"""The metadata that count as headers of the same name, beside those of extensions.

Cookies are for browsers, which do not speak gRPC.
"""

SENT_HEADERS = frozenset(
    {
        "a2a-extensions",
        "retry-after",
        "server-timing",
        "www-authenticate",
        "x-molecule-overhead-ms",
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
        "x-request-id",
    }
)
"""The headers of an answer that the client receives as metadata."""

MAX_HEADER_LENGTH = 512
"""Characters of the longest header that becomes metadata, so that all of them stay below the limit of clients."""


def build_headers(metadata: Metadata, *, host: str, seconds_left: float | None) -> RawHeaders:
    """Return the headers of the request. The deadline of the call becomes the time that the message may take.

    `host` is a name of the plane. The size of a gRPC message is not known before it is read.
    """
    headers = [(b"host", host.encode()), (b"transfer-encoding", b"chunked")]
    for name, value in metadata:
        is_read = name in READ_METADATA or may_be_extension_header(name)
        if is_read and isinstance(value, str) and (seconds_left is None or name != "x-timeout"):
            headers.append((name.encode(), value.encode("latin-1", "replace")))
    if seconds_left is not None:
        seconds = min(MAX_TIMEOUT_SECONDS, max(1, math.ceil(seconds_left)))
        headers.append((b"x-timeout", b"%d" % seconds))
    return headers


def find_workspace(metadata: Metadata) -> str:
    """Return the workspace that the metadata name; empty for none."""
    found = (value for name, value in metadata if name == WORKSPACE and isinstance(value, str))
    return next(found, "")


def select_metadata(headers: RawHeaders) -> tuple[tuple[str, str], ...]:
    """Return the metadata for the headers of an answer."""
    named = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers]
    return tuple(
        (name, value)
        for name, value in named
        if name in SENT_HEADERS and len(value) <= MAX_HEADER_LENGTH and value.isascii() and value.isprintable()
    )


def parse_peer(peer: str) -> tuple[str, int]:
    """Return the address and the port of a peer as gRPC names it: `ipv4:127.0.0.1:80`, `ipv6:%5B::1%5D:80`."""
    _, _, endpoint = unquote(peer).partition(":")
    host, _, port = endpoint.rpartition(":")
    return host.strip("[]").partition("%")[0], int(port) if port.isascii() and port.isdigit() else 0
