"""Reads the body of an ASGI request into memory and hands it on."""

from collections.abc import MutableMapping
from typing import Any

from molecule_agent.asgi import Receive


class BodyTooLarge(Exception):
    """The body exceeds the limit."""


async def receive_whole(receive: Receive, max_bytes: int) -> MutableMapping[str, Any]:
    """Return one message with the whole body, or the disconnect that came before its end; raises `BodyTooLarge`."""
    parts: list[bytes] = []
    length = 0
    while True:
        message = await receive()
        part = message.get("body", b"")
        length += len(part)
        if length > max_bytes:
            raise BodyTooLarge
        parts.append(part)
        if not message.get("more_body", False):
            return {**message, "body": b"".join(parts)} if message["type"] == "http.request" else message


def receive_again(first: MutableMapping[str, Any], receive: Receive) -> Receive:
    """Return a function that receives `first` once, and then what `receive` does."""
    waiting = [first]

    async def receive_next() -> MutableMapping[str, Any]:
        return waiting.pop() if waiting else await receive()

    return receive_next
