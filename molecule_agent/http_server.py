"""HTTP: whether the agent lives and what it can do, at once; everything else is for the protocol."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

CARD_PATHS = ("/.well-known/agent-card.json", "/.well-known/agent.json")
"""Of today's clients, and of those from before 0.3."""

MAX_BODY_BYTES = 16 * 1024 * 1024
"""Bytes of a request; the plane lets 10 MiB through."""


class HttpServer:
    """The ASGI application; the same card to everybody who asks."""

    def __init__(self, card: dict[str, Any], protocol: Application) -> None:
        self._pages = dict.fromkeys(CARD_PATHS, _encode_json(card))
        self._pages["/health"] = _encode_json({"status": "ok"})
        self._protocol = protocol

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        page = self._pages.get(scope["path"]) if scope["method"] in {"GET", "HEAD"} else None
        if page is not None:
            await _send_json(send, HTTPStatus.OK, page)
        elif _content_length(scope) > MAX_BODY_BYTES:
            await _send_json(send, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _TOO_LARGE)
        else:
            await self._protocol(scope, _limit_body(receive), send)


def _content_length(scope: Scope) -> int:
    text = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    return int(text) if text.isdigit() else 0


def _limit_body(receive: Receive) -> Receive:
    """The same body; one that did not say how long it is and grows too large counts as a client who hung up."""
    received = 0

    async def limited() -> MutableMapping[str, Any]:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        return message if received <= MAX_BODY_BYTES else {"type": "http.disconnect"}

    return limited


async def _send_json(send: Send, status: HTTPStatus, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status.value, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _encode_json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


_TOO_LARGE = _encode_json({"error": "request body too large", "max_bytes": MAX_BODY_BYTES})
