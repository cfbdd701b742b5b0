"""Agents that send push notifications, and a receiver of them."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import httpx
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_jsonrpc_routes
from a2a.server.tasks import (
    BasePushNotificationSender,
    InMemoryPushNotificationConfigStore,
    InMemoryTaskStore,
)
from aiohttp import web
from starlette.applications import Starlette

from tests.a2a_proxy.dialect_agents import answer, refuse
from tests.agents import EchoAgent
from tests.http.conftest import run_server
from tests.molecule_a2a.rest.binding import WaitingExecutor, build_card


@dataclass
class LegacyPushAgent(EchoAgent):
    """Serves 0.3, keeps one push notification config for each task, and posts bare tasks when a test says so."""

    configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    started: int = 0
    shown_task: str = ""
    """The task whose config it shows, whatever it is asked for; empty for the right one."""
    refuses: bool = False
    """Answers every config as an agent without push notifications does."""

    async def reply(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        if self.refuses:
            return refuse(message, -32003, "push notifications are not supported")
        return answer(message, self._answer(message["method"], message["params"]))

    def _answer(self, method: str, params: dict[str, Any]) -> object:
        result: object = None
        match method:
            case "message/send":
                result = self._start_task(params)
            case "tasks/get":
                result = self.build_task(params["id"], "completed")
            case "tasks/pushNotificationConfig/set":
                self.configs[params["taskId"]] = params["pushNotificationConfig"]
                result = params
            case "tasks/pushNotificationConfig/get":
                result = self._show(params["id"])
            case "tasks/pushNotificationConfig/list":
                result = [self._show(params["id"])] if params["id"] in self.configs else []
            case "tasks/pushNotificationConfig/delete":
                del self.configs[params["id"]]
        return result

    def _start_task(self, params: dict[str, Any]) -> dict[str, Any]:
        self.started += 1
        task_id = f"task-{self.started}"
        config = params.get("configuration", {}).get("pushNotificationConfig")
        if config is not None:
            self.configs[task_id] = config
        return self.build_task(task_id, "working")

    def build_task(self, task_id: str, state: str) -> dict[str, Any]:
        artifact = {"artifactId": "a", "parts": [{"kind": "text", "text": "all of it"}]}
        return {
            "kind": "task",
            "id": task_id,
            "contextId": "c",
            "status": {"state": state},
            "artifacts": [artifact] if state == "completed" else [],
        }

    async def post(self, task_id: str, body: object = None, *, address: str = "") -> int:
        """Post a notification, the task as it is done unless a body is given; returns the status of the answer."""
        raw = body if isinstance(body, bytes) else json.dumps(body or self.build_task(task_id, "completed")).encode()
        async with (
            aiohttp.ClientSession() as session,
            session.post(address or self.configs[task_id]["url"], data=io.BytesIO(raw)) as response,
        ):
            return response.status

    def _show(self, task_id: str) -> dict[str, Any]:
        return {"taskId": task_id, "pushNotificationConfig": self.configs[self.shown_task or task_id]}


@asynccontextmanager
async def serve_sdk_agent() -> AsyncIterator[str]:
    """Serve an agent of the official SDK 1.3, which sends its notifications by itself; yields its address."""
    card = build_card("http://agent", "JSONRPC")
    store = InMemoryPushNotificationConfigStore()
    async with httpx.AsyncClient() as client:
        handler = DefaultRequestHandler(
            agent_executor=WaitingExecutor(),
            task_store=InMemoryTaskStore(),
            agent_card=card,
            push_config_store=store,
            push_sender=BasePushNotificationSender(client, store),
        )
        async with run_server(Starlette(routes=create_jsonrpc_routes(handler, "/"))) as url:
            yield url


@dataclass
class Receiver:
    """Takes notifications, and answers them with the next of its statuses, in the end with 200."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    """Sent with every answer."""
    is_silent: bool = False
    """Never answers."""
    attempts: int = 0
    received: list[Any] = field(default_factory=list)
    """The bodies of the notifications that it accepted."""
    requests: list[web.Request] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.attempts += 1
        if self.is_silent:
            await asyncio.Event().wait()
        body = await request.json()
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 200:
            self.requests.append(request)
            self.received.append(body)
        return web.Response(status=status, headers=self.headers, text="x" * 100)


@asynccontextmanager
async def serve_receiver(receiver: Receiver) -> AsyncIterator[Receiver]:
    """Serve a receiver on a free port of this machine for the length of the block; sets its `url`."""
    application = web.Application()
    application.router.add_post("/{path:.*}", receiver.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook?x=1"
    try:
        yield receiver
    finally:
        await runner.cleanup()
