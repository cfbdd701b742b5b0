"""Fake planes: real HTTP servers, each named after its fault."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

TOKEN = "a-token-of-the-plane"
SECRET = "an-inbound-secret"


class FakePlane:
    """Answers as rest.md says, and records the requests."""

    def __init__(self) -> None:
        self.url = ""
        self.token: str | None = None
        """The only token that is valid; None until the first register issues one."""
        self.registered: list[dict[str, Any]] = []
        self.heartbeats: list[dict[str, Any]] = []
        self.bearers: list[str | None] = []
        self.attempts = 0
        """The number of register requests, refused ones included."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        app = web.Application(client_max_size=1 << 20)
        app.router.add_post("/registry/register", self._register)
        app.router.add_post("/registry/heartbeat", self._heartbeat)
        runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = "http://{}:{}".format(*runner.addresses[0])
        try:
            yield
        finally:
            await runner.cleanup()

    async def register(self, body: dict[str, Any]) -> web.Response:
        self.registered.append(body)
        answer = {"status": "registered", "delivery_mode": "push", "platform_inbound_secret": SECRET}
        if self.token is None:
            self.token = answer["auth_token"] = TOKEN
        return web.json_response(answer)

    async def heartbeat(self, body: dict[str, Any]) -> web.Response:
        self.heartbeats.append(body)
        return web.json_response({"status": "ok"})

    async def _register(self, request: web.Request) -> web.Response:
        self.attempts += 1
        if refusal := self._refusal(request, needs_token=self.token is not None):
            return refusal
        return await self.register(await request.json())

    async def _heartbeat(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request, needs_token=True):
            return refusal
        return await self.heartbeat(await request.json())

    def _refusal(self, request: web.Request, *, needs_token: bool) -> web.Response | None:
        bearer = request.headers.get("Authorization")
        self.bearers.append(bearer)
        if bearer is None and needs_token:
            return web.json_response({"error": "missing workspace auth token"}, status=401)
        if bearer is not None and bearer != f"Bearer {self.token}":
            return web.json_response({"error": "invalid workspace auth token"}, status=401)
        return None


class RegisterRefusingPlane(FakePlane):
    """Refuses every register and accepts every heartbeat."""

    def __init__(self, status: int, error: str, **details: Any) -> None:
        super().__init__()
        self.token = TOKEN
        self._status = status
        self.answer = {"error": error, **details}

    async def register(self, body: dict[str, Any]) -> web.Response:
        return web.json_response(self.answer, status=self._status)


class UnauthorizedPlane(RegisterRefusingPlane):
    """Answers every register with 401."""

    def __init__(self) -> None:
        super().__init__(401, "invalid workspace auth token")


class FailingPlane(RegisterRefusingPlane):
    """Answers every register with 500 and HTML."""

    def __init__(self) -> None:
        super().__init__(500, "")

    async def register(self, body: dict[str, Any]) -> web.Response:
        return web.Response(status=500, text="<html>Oops\n</html>")


class UnknownWorkspacePlane(FakePlane):
    """Does not know the workspace."""

    async def register(self, body: dict[str, Any]) -> web.Response:
        return web.json_response({"error": "workspace not found"}, status=404)

    async def heartbeat(self, body: dict[str, Any]) -> web.Response:
        return web.json_response({"error": "workspace not found"}, status=404)


class UnresponsivePlane(FakePlane):
    """Never answers a register."""

    def __init__(self) -> None:
        super().__init__()
        self.token = TOKEN

    async def register(self, body: dict[str, Any]) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError


class LateAcceptingPlane(FakePlane):
    """Refuses the first registers and accepts a later one."""

    def __init__(self, refusals: int) -> None:
        super().__init__()
        self._refusals = refusals

    async def register(self, body: dict[str, Any]) -> web.Response:
        if self.attempts <= self._refusals:
            return web.json_response({"error": "workspace is paused"}, status=409)
        return await super().register(body)


class RemovedWorkspacePlane(FakePlane):
    """Has removed the workspace."""

    async def register(self, body: dict[str, Any]) -> web.Response:
        return web.json_response({"error": "workspace removed"}, status=410)


class RemovingPlane(FakePlane):
    """Removes the workspace after the first heartbeat."""

    async def heartbeat(self, body: dict[str, Any]) -> web.Response:
        if self.heartbeats:
            return web.json_response({"error": "workspace removed"}, status=410)
        return await super().heartbeat(body)


class NonJsonPlane(FakePlane):
    """Accepts a register, with a body that is not JSON."""

    async def register(self, body: dict[str, Any]) -> web.Response:
        return web.Response(text="welcome")


class RedirectingPlane(FakePlane):
    """Redirects every register."""

    async def register(self, body: dict[str, Any]) -> web.Response:
        return web.Response(status=307, headers={"Location": "/registry/heartbeat"})
