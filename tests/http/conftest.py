"""An HTTP server with small limits, and applications for it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import uvloop

from molecule_http.limits import ConnectionLimits
from molecule_http.server import HttpServer

QUICK = ConnectionLimits(head_seconds=0.3, body_seconds=0.3, idle_seconds=0.3, linger_seconds=0.3, probe_seconds=0.3)

LARGE_BODY = b"x" * 30_000_000
"""More than the buffers on the way hold."""


@dataclass
class Application:
    """An ASGI application that answers with the body it received.

    `/stream` sends parts of unknown length until it may end, `/flood` until its client leaves, `/wait` answers once it
    may, `/watch` too or when its client leaves, `/ignore` reads nothing, and `/large` answers with `LARGE_BODY`.
    """

    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    has_begun: asyncio.Event = field(default_factory=asyncio.Event)
    has_left: asyncio.Event = field(default_factory=asyncio.Event)
    scopes: list = field(default_factory=list)
    bodies: list = field(default_factory=list)

    async def __call__(self, scope, receive, send):
        self.scopes.append(scope)
        match scope["path"]:
            case "/stream":
                await self._stream(receive, send)
            case "/flood":
                await self._flood(receive, send)
            case "/pieces":
                await self._answer_in_pieces(send)
            case "/large":
                await answer(send, LARGE_BODY)
            case "/ignore":
                await answer(send, b"ignored")
            case "/watch":
                await self._watch(receive, send)
            case "/wait":
                self.has_begun.set()
                await self.may_end.wait()
                await answer(send, b"waited")
            case _:
                await self._echo(receive, send)

    async def _watch(self, receive, send):
        await receive()
        self.has_begun.set()
        leaving = asyncio.create_task(receive())
        ending = asyncio.create_task(self.may_end.wait())
        await asyncio.wait([leaving, ending], return_when=asyncio.FIRST_COMPLETED)
        if leaving.done():
            self.has_left.set()
        leaving.cancel()
        ending.cancel()
        await answer(send, b"watched")

    async def _echo(self, receive, send):
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.has_left.set()
                return
            body += message["body"]
            if not message["more_body"]:
                break
        self.bodies.append(body)
        await answer(send, body)

    async def _answer_in_pieces(self, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in (b"one ", b"two"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _flood(self, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

        async def leave():
            while (await receive())["type"] != "http.disconnect":
                pass
            self.has_left.set()

        leaving = asyncio.create_task(leave())
        while not self.has_left.is_set():
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
        await leaving

    async def _stream(self, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        self.has_begun.set()

        async def leave():
            while (await receive())["type"] != "http.disconnect":
                pass
            self.has_left.set()

        leaving = asyncio.create_task(leave())
        ending = asyncio.create_task(self.may_end.wait())
        await asyncio.wait([leaving, ending], return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        ending.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def answer(send, body):
    """Send a whole response."""
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def run_server(application, limits: ConnectionLimits | None = None, **options) -> AsyncIterator[str]:
    """Run a server for the length of the block; yields its URL."""
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        server = HttpServer(application, shutdown_seconds=1, limits=limits, **options)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        host, port = listener.getsockname()
        try:
            yield f"http://{host}:{port}"
        finally:
            server.should_exit = True
            await serving


@pytest.fixture
async def application() -> Application:
    return Application()


@pytest.fixture
async def url(application: Application) -> AsyncIterator[str]:
    async with run_server(application) as url:
        yield url


@pytest.fixture
async def quick_url(application: Application) -> AsyncIterator[str]:
    """The URL of a server whose deadlines are short."""
    async with run_server(application, QUICK) as url:
        yield url


def pytest_asyncio_loop_factories(config, item):
    """Run each test on both event loops: the gateway uses uvloop, and agents that of asyncio, which is smaller."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
