"""The types of ASGI, headers of requests, and answers in JSON."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def get_header(scope: Scope, name: bytes) -> str:
    """Return the first value of a header, whose name is in lower case; empty without one."""
    return next((value.decode("latin-1") for found, value in scope["headers"] if found == name), "")


def encode_json(content: Any) -> bytes:  # noqa: ANN401 - JSON is anything
    """Return a value as compact JSON."""
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


async def send_json(
    send: Send,
    status: HTTPStatus,
    content: Any,  # noqa: ANN401 - JSON is anything
    *more: tuple[bytes, bytes],
) -> None:
    """Answer with a value, or with JSON that is encoded already, and more headers."""
    body = content if isinstance(content, bytes) else encode_json(content)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status.value, "headers": headers})
    await send({"type": "http.response.body", "body": body})
