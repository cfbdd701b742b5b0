"""Reads the bearer by which the plane proves itself to the agent, and refuses requests without the inbound secret."""

from http import HTTPStatus

from molecule_agent.asgi import Scope, Send, encode_json, send_json

CHALLENGE = b'Bearer realm="molecule-inbound"'
"""The challenge by which the plane recognises that the agent refused its secret."""


def read_bearer(scope: Scope) -> bytes:
    """Return the bearer of a request with exactly one; empty otherwise."""
    found = [value for name, value in scope["headers"] if name == b"authorization"]
    scheme, _, bearer = found[0].partition(b" ") if len(found) == 1 else (b"", b"", b"")
    return bearer.strip() if scheme.lower() == b"bearer" else b""


async def refuse(send: Send) -> None:
    """Answer 401 to a request without the inbound secret."""
    await send_json(send, HTTPStatus.UNAUTHORIZED, _UNAUTHORIZED, (b"www-authenticate", CHALLENGE))


_UNAUTHORIZED = encode_json({"error": "the plane's inbound secret is required: send messages through the plane"})
