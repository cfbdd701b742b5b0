"""Refuses requests without a bearer at the address where agents in containers reach the gateway."""

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.credentials import parse_bearer
from gateway.errors import CredentialRequired
from gateway.rest_errors import render_error_at

PUBLIC_PATHS = frozenset({"/health", "/ready"})
"""Paths that monitoring reads without a bearer."""

POLICY_VIOLATION = 1008
"""The code that closes a WebSocket."""


class BearerRequired:
    """An ASGI application in front of the gateway's own, which in open development admits callers without a bearer.

    The address is in a network of agents, and an agent is no operator. What the bearer may do is decided behind it.
    """

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one request through, or refuse it before anything of it is read."""
        if (
            scope["type"] not in {"http", "websocket"}
            or scope["path"] in PUBLIC_PATHS
            or parse_bearer(scope["headers"])
        ):
            await self._inner(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        else:
            await render_error_at(scope, CredentialRequired())(scope, receive, send)
