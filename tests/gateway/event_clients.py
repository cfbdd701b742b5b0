"""Clients of event streams and of the WebSocket."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection, connect


class SseClient:
    """Reads an event stream frame by frame."""

    def __init__(self, response) -> None:
        self.response = response
        self._chunks = response.aiter_bytes()
        self._rest = b""

    async def frame(self) -> bytes | None:
        """Return the bytes of the next frame, or `None` at the end."""
        while b"\n\n" not in self._rest:
            try:
                self._rest += await anext(self._chunks)
            except StopAsyncIteration:
                return None
        frame, _, self._rest = self._rest.partition(b"\n\n")
        return frame + b"\n\n"

    async def event(self) -> dict | None:
        """Return the next event and skip comments."""
        while (frame := await self.frame()) is not None:
            if not frame.startswith(b":"):
                return json.loads(frame.partition(b"data: ")[2])
        return None

    async def rest(self) -> list[dict]:
        """Return all events until the end."""
        found = []
        while (event := await self.event()) is not None:
            found.append(event)
        return found


@asynccontextmanager
async def open_event_stream(http, workspace_id, *, after=None, **headers) -> AsyncIterator[SseClient]:
    """Open the event stream of a workspace; `after` is the last event handled."""
    if after is not None:
        headers["Last-Event-ID"] = str(after)
    async with http.stream("GET", f"/workspaces/{workspace_id}/events/stream", headers=headers, timeout=20) as response:
        assert response.status_code == 200, await response.aread()
        stream = SseClient(response)
        assert await stream.frame() == b": ping\n\n"
        yield stream


@asynccontextmanager
async def open_websocket(url, *, after=None, bearer=None, query="", **headers) -> AsyncIterator[ClientConnection]:
    """Open the WebSocket."""
    if after is not None:
        headers["Last-Event-ID"] = str(after)
    if bearer is not None:
        headers["Authorization"] = f"Bearer {bearer}"
    address = url.replace("http", "ws", 1) + "/ws" + query
    async with connect(address, additional_headers=headers, proxy=None, open_timeout=20) as socket:
        yield socket


async def receive_event(socket: ClientConnection) -> dict:
    """Return the next event of a WebSocket."""
    return json.loads(await socket.recv())
