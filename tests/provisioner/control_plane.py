"""The reference server of the control plane API in the test's event loop, and servers with one fault each."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from services.provisioner.backends.base import Backend
from services.provisioner.control_plane_server import ControlPlaneServer

TOKEN = "token-of-this-plane"


@dataclass(frozen=True, slots=True)
class RunningControlPlane:
    """A server that runs, and the requests that reached it, as `METHOD path`."""

    url: str
    server: ControlPlaneServer
    requests: list[str] = field(default_factory=list)


@asynccontextmanager
async def serve_control_plane(
    backend: Backend, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[RunningControlPlane]:
    """Serve a backend for the length of the block."""
    server, requests = ControlPlaneServer(backend, TOKEN), list[str]()
    app = server.build_app()

    async def note(request: web.Request, _: web.StreamResponse) -> None:
        requests.append(f"{request.method} {request.path}")

    app.on_response_prepare.append(note)
    async with serve_app(app, tls=tls) as url:
        yield RunningControlPlane(url, server, requests)


@asynccontextmanager
async def serve_answer(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """Serve a control plane that answers every request with the same function; yields its URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with serve_app(app) as url:
        yield url


@asynccontextmanager
async def serve_app(app: web.Application, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve an application on a free port of the loopback interface; yields its URL."""
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        port = runner.addresses[0][1]
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    finally:
        await runner.cleanup()
