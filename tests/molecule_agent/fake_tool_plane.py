"""A fake plane for tools: a real HTTP server that records what tools send, and fails where a test says so."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

PEER = "6f1c2a9e-0000-4c3a-8c39-8f2f3a3c1a22"


class FakeToolPlane:
    """Has one peer, whose delegations end at once with the task as their result."""

    def __init__(self) -> None:
        self.url = ""
        self.upload_status = 200
        self.delegations: dict[str, dict[str, Any]] = {}
        """Bodies of delegations by their idempotency keys, which are their ids too."""
        self.uploads: list[tuple[str, str, bytes]] = []
        """Name, MIME type and content of each file."""
        self.notified: list[dict[str, Any]] = []
        self.reported: list[dict[str, Any]] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_get("/registry/{id}/peers", self._peers)
        app.router.add_post("/workspaces/{id}/delegate", self._delegate)
        app.router.add_get("/workspaces/{id}/delegations/{delegation}", self._delegation)
        app.router.add_post("/workspaces/{id}/chat/uploads", self._upload)
        app.router.add_post("/workspaces/{id}/notify", self._notify)
        app.router.add_post("/workspaces/{id}/activity", self._activity)
        runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = "http://{}:{}".format(*runner.addresses[0])
        try:
            yield
        finally:
            await runner.cleanup()

    async def _peers(self, request: web.Request) -> web.Response:
        card = {"description": "Echoes", "skills": [{"name": "Echo"}]}
        return web.json_response([{"id": PEER, "name": "echo", "status": "online", "role": None, "agent_card": card}])

    async def _delegate(self, request: web.Request) -> web.Response:
        body = await request.json()
        key = body["idempotency_key"]
        self.delegations.setdefault(key, body)
        return web.json_response({"delegation_id": key, "status": "delegated"}, status=202)

    async def _delegation(self, request: web.Request) -> web.Response:
        body = self.delegations.get(request.match_info["delegation"])
        if body is None:
            return web.json_response({"error": "delegation not found"}, status=404)
        if body["task"] == "fail":
            return web.json_response({"status": "failed", "error": "the agent answered with an error"})
        return web.json_response({"status": "completed", "text": body["task"]})

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        files = [one for one in form.getall("files") if isinstance(one, web.FileField)]
        self.uploads += [(file.filename, file.content_type, file.file.read()) for file in files]
        if self.upload_status != 200:
            return web.json_response({"error": "workspace unreachable"}, status=self.upload_status)
        stored = [{"uri": f"workspace:/{file.filename}", "name": file.filename, "size": 1} for file in files]
        return web.json_response({"files": stored})

    async def _notify(self, request: web.Request) -> web.Response:
        self.notified.append(await request.json())
        return web.json_response({"status": "sent"})

    async def _activity(self, request: web.Request) -> web.Response:
        self.reported.append(await request.json())
        return web.json_response({"status": "logged"})
