"""Fake agents: real HTTP servers, each named after its fault."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class EchoAgent:
    """Answers every message with its own text, plain or as a stream, and records the requests."""

    requests: list[web.Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    url: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.bodies.append(await request.read())
        return await self.reply(request, json.loads(self.bodies[-1]))

    async def reply(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        if message.get("method") in {"message/stream", "SendStreamingMessage"}:
            return await self.stream(request, message)
        return web.json_response({"jsonrpc": "2.0", "id": message.get("id"), "result": _reply(message)})

    async def stream(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number in range(3):
            event = {"jsonrpc": "2.0", "id": message.get("id"), "result": {"number": number}}
            await response.write(b": ping\r\n\r\n" + f"data: {json.dumps(event)}\n\n".encode())
        await response.write_eof()
        return response


@dataclass
class SlowAgent(EchoAgent):
    """Answers after a test sets `go`."""

    go: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def reply(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        self.asked.set()
        await self.go.wait()
        return await super().reply(request, message)


def list_possible_deliveries(agent: EchoAgent) -> set[str]:
    """Return what a call that ended without an answer may say in `delivery`.

    On a loaded machine the time of a call may be over before its message is sent. What the agent has is never
    `not_sent`.
    """
    return {"unknown"} if agent.requests else {"unknown", "not_sent"}


@dataclass
class BusyAgent(EchoAgent):
    """Refuses every message as busy, in the form that `manner` names."""

    manner: str = "429"

    async def reply(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        match self.manner:
            case "429":
                return web.Response(status=429, text="later")
            case "503":
                return web.Response(status=503, headers={"Retry-After": "7"}, text="later")
            case _:
                error = {"code": -32000, "message": "busy", "data": {"busy": True}}
                return web.json_response({"jsonrpc": "2.0", "id": message.get("id"), "error": error})


@dataclass
class GuardedAgent(EchoAgent):
    """Requires a bearer, as an agent requires the inbound secret of the plane."""

    secret: str = ""
    realm: str = "molecule-inbound"

    async def reply(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        if request.headers.get("Authorization") == f"Bearer {self.secret}":
            return await super().reply(request, message)
        headers = {"WWW-Authenticate": f'Bearer realm="{self.realm}"'}
        return web.json_response({"error": "unauthorized"}, status=401, headers=headers)


@dataclass
class SilentAgent(SlowAgent):
    """Accepts a message and never answers."""


@dataclass
class DisconnectingAgent(EchoAgent):
    """Closes the connection of a message: before the answer, within it, or within a stream."""

    moment: str = "before"

    async def reply(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        assert request.transport is not None
        if self.moment == "before":
            request.transport.close()
            return web.Response()
        kind = "text/event-stream" if self.moment == "stream" else "application/json"
        response = web.StreamResponse(headers={"Content-Type": kind})
        await response.prepare(request)
        await response.write(b'data: {"jsonrpc":"2.0","resu')
        request.transport.close()
        return response


@dataclass
class MisbehavingAgent(EchoAgent):
    """Answers with an HTML error page of a proxy, a redirect, or too large a body."""

    status: int = 502
    text: str = "<h1>nginx/10.0.0.7</h1>"
    headers: dict[str, str] = field(default_factory=dict)

    async def reply(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        return web.Response(status=self.status, text=self.text, headers=self.headers)


@asynccontextmanager
async def serve_agent(agent: EchoAgent) -> AsyncIterator[EchoAgent]:
    """Serve the agent on a free port of this machine for the length of the block; sets its `url`."""
    application = web.Application(client_max_size=64 * 1024 * 1024)
    application.router.add_post("/{path:.*}", agent.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    agent.url = f"http://127.0.0.1:{port}/"
    try:
        yield agent
    finally:
        await runner.cleanup()


def _reply(message: dict[str, Any]) -> dict[str, Any]:
    parts = message.get("params", {}).get("message", {}).get("parts", [])
    return {"kind": "message", "messageId": "reply", "role": "agent", "parts": parts}
