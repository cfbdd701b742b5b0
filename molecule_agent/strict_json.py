"""Refuses requests whose body is not strict JSON, before the A2A server parses them."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class StrictJsonApplication:
    """An ASGI application that passes requests to `application`, except messages that are not strict JSON."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (scope["method"], scope["path"]) != ("POST", "/"):
            await self._application(scope, receive, send)
            return
        body, last = await _read_body(receive)
        if last["type"] == "http.request" and not is_strict_json(body):
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await send({"type": "http.response.body", "body": _PARSE_ERROR})
            return
        await self._application(scope, _replay({**last, "body": body}, receive), send)


def is_strict_json(body: bytes) -> bool:
    """Whether every parser takes a body: it has no NaN, half of a surrogate pair or number beyond a double."""
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


async def _read_body(receive: Receive) -> tuple[bytes, MutableMapping[str, Any]]:
    """Return the whole body, and the message that ended it: its last part, or a disconnect."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts), message


def _replay(first: MutableMapping[str, Any], receive: Receive) -> Receive:
    """Return a function that receives `first` once, and then what `receive` does."""
    replayed = [first]

    async def receive_replayed() -> MutableMapping[str, Any]:
        return replayed.pop() if replayed else await receive()

    return receive_replayed


_HEADERS = [(b"content-type", b"application/json")]

_PARSE_ERROR = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"invalid JSON"}}'
"""The answer that JSON-RPC has for a body that cannot be parsed."""
