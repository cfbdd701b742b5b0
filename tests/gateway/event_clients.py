"""Clients that listen: an event stream as it is written, and a socket."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection, connect


class SseClient:
    """An event stream, frame by frame."""

    def __init__(self, response) -> None:
        self.response = response
        self._chunks = response.aiter_bytes()
        self._rest = b""

    async def frame(self) -> bytes | None:
        """The next frame as it is written, or nothing at the end."""
        while b"\n\n" not in self._rest:
            try:
                self._rest += await anext(self._chunks)
            except StopAsyncIteration:
                return None
        frame, _, self._rest = self._rest.partition(b"\n\n")
        return frame + b"\n\n"

    async def event(self) -> dict | None:
        """The next event, comments aside."""
        while (frame := await self.frame()) is not None:
            if not frame.startswith(b":"):
                return json.loads(frame.partition(b"data: ")[2])
        return None

    async def rest(self) -> list[dict]:
        """All events until the end."""
        found = []
        while (event := await self.event()) is not None:
            found.append(event)
        return found


@asynccontextmanager
async def open_event_stream(http, workspace_id, *, after=None, **headers) -> AsyncIterator[SseClient]:
    """A stream of a workspace's events; `after` is the last event handled."""
    if after is not None:
        headers["Last-Event-ID"] = str(after)
    async with http.stream("GET", f"/workspaces/{workspace_id}/events/stream", headers=headers, timeout=20) as response:
        assert response.status_code == 200, await response.aread()
        stream = SseClient(response)
        assert await stream.frame() == b": ping\n\n"
        yield stream


@asynccontextmanager
async def open_websocket(url, *, after=None, bearer=None, query="", **headers) -> AsyncIterator[ClientConnection]:
    """A socket."""
    if after is not None:
        headers["Last-Event-ID"] = str(after)
    if bearer is not None:
        headers["Authorization"] = f"Bearer {bearer}"
    address = url.replace("http", "ws", 1) + "/ws" + query
    async with connect(address, additional_headers=headers, proxy=None, open_timeout=20) as socket:
        yield socket


async def receive_event(socket: ClientConnection) -> dict:
    """The next event on a socket."""
    return json.loads(await socket.recv())
