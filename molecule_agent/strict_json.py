"""Refuses requests whose body is not strict JSON, before the A2A server parses them."""

from collections.abc import Awaitable, Callable, Collection, MutableMapping
from itertools import chain
from typing import Any

import msgspec

from molecule_agent.asgi import Receive
from molecule_agent.request_body import receive_again

MAX_DEPTH = 100
"""Nesting levels of a body; the plane sends no more."""

NUMBER_LIMIT = 10**308
"""Whole numbers from here on may exceed the range of a double."""

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class StrictJsonApplication:
    """An ASGI application that passes requests to `application`, except messages that are not strict JSON.

    The first message that it receives holds the whole body.
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (scope["method"], scope["path"]) != ("POST", "/"):
            await self._application(scope, receive, send)
            return
        message = await receive()
        if message["type"] == "http.request" and not is_strict_json(message["body"]):
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await send({"type": "http.response.body", "body": _PARSE_ERROR})
            return
        await self._application(scope, receive_again(message, receive), send)


def is_strict_json(body: bytes) -> bool:
    """Whether every parser takes a body: it has no NaN, half of a surrogate pair or number beyond a double.

    Nor is it nested more deeply than `MAX_DEPTH`, where the parsers of some languages stop.
    """
    try:
        level = [msgspec.json.decode(body)]
    except (msgspec.DecodeError, RecursionError):
        return False
    for _ in range(MAX_DEPTH + 1):
        if any(type(value) is int and abs(value) >= NUMBER_LIMIT for value in level):
            return False
        containers = [value for value in level if isinstance(value, dict | list)]
        if not containers:
            return True
        level = list(chain.from_iterable(map(_list_members, containers)))
    return False


def _list_members(container: dict[str, object] | list[object]) -> Collection[object]:
    return container.values() if isinstance(container, dict) else container


_HEADERS = [(b"content-type", b"application/json")]

_PARSE_ERROR = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"invalid JSON"}}'
"""The answer that JSON-RPC has for a body that cannot be parsed."""
