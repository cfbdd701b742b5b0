"""Planes an agent may meet: real HTTP servers, each named after its fault."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

TOKEN = "a-token-of-the-plane"
SECRET = "an-inbound-secret"


class GoodPlane:
    """Answers as rest.md says, and keeps what it was told."""

    def __init__(self) -> None:
        self.url = ""
        self.token: str | None = None
        """The only token that is valid; None until the first register issues one."""
        self.registered: list[dict[str, Any]] = []
        self.beats: list[dict[str, Any]] = []
        self.bearers: list[str | None] = []
        self.attempts = 0
        """Registers that arrived, accepted or not."""

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
        self.beats.append(body)
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


class StrictPlane(GoodPlane):
    """Refuses every register and hears every heartbeat."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__()
        self.token = TOKEN
        self._status = status
        self._error = error

    async def register(self, body: dict[str, Any]) -> web.Response:
        return web.json_response({"error": self._error}, status=self._status)


class RefusingPlane(StrictPlane):
    """401 for every register."""

    def __init__(self) -> None:
        super().__init__(401, "invalid workspace auth token")


class RudePlane(StrictPlane):
    """500 for every register, and not even in JSON."""

    def __init__(self) -> None:
        super().__init__(500, "")

    async def register(self, body: dict[str, Any]) -> web.Response:
        return web.Response(status=500, text="<html>Oops\n</html>")


class ForgetfulPlane(GoodPlane):
    """Has never heard of the workspace."""

    async def register(self, body: dict[str, Any]) -> web.Response:
        return web.json_response({"error": "workspace not found"}, status=404)

    async def heartbeat(self, body: dict[str, Any]) -> web.Response:
        return web.json_response({"error": "workspace not found"}, status=404)


class SilentPlane(GoodPlane):
    """Never answers a register."""

    def __init__(self) -> None:
        super().__init__()
        self.token = TOKEN

    async def register(self, body: dict[str, Any]) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError


class HesitantPlane(GoodPlane):
    """Refuses the first registers and accepts a later one."""

    def __init__(self, refusals: int) -> None:
        super().__init__()
        self._refusals = refusals

    async def register(self, body: dict[str, Any]) -> web.Response:
        if self.attempts <= self._refusals:
            return web.json_response({"error": "workspace is paused"}, status=409)
        return await super().register(body)


class GonePlane(GoodPlane):
    """Has removed the workspace."""

    async def register(self, body: dict[str, Any]) -> web.Response:
        return web.json_response({"error": "workspace removed"}, status=410)


class RemovingPlane(GoodPlane):
    """Removes the workspace after the first heartbeat."""

    async def heartbeat(self, body: dict[str, Any]) -> web.Response:
        if self.beats:
            return web.json_response({"error": "workspace removed"}, status=410)
        return await super().heartbeat(body)


class GarblingPlane(GoodPlane):
    """Says yes to a register, but not in JSON."""

    async def register(self, body: dict[str, Any]) -> web.Response:
        return web.Response(text="welcome")


class RedirectingPlane(GoodPlane):
    """Sends every register elsewhere."""

    async def register(self, body: dict[str, Any]) -> web.Response:
        return web.Response(status=307, headers={"Location": "/registry/heartbeat"})
