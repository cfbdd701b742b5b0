"""The official clients of both A2A versions find agents that speak one of them by the card of the plane."""

import json
from dataclasses import dataclass
from uuid import uuid4

import pytest
from aiohttp import web

from deploy.plane import Plane
from tests.agents import EchoAgent, serve_agent
from tests.databases import plane_database
from tests.e2e.principals import external
from tests.e2e.sdk_clients.environments import GENERATIONS, converse

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

METHODS = {"0.3": ("message/send", "message/stream"), "1.0": ("SendMessage", "SendStreamingMessage")}


@dataclass
class OneDialectAgent(EchoAgent):
    """Speaks one version of A2A, and knows no method of the other one."""

    version: str = "1.0"

    def card(self):
        shared = {"name": "one", "description": "", "version": "1", "capabilities": {"streaming": True}, "skills": []}
        modes = {"defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"]}
        if self.version == "0.3":
            address = {"url": self.url, "protocolVersion": "0.3.0", "preferredTransport": "JSONRPC"}
        else:
            interface = {"url": self.url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
            address = {"supportedInterfaces": [interface]}
        return {**shared, **modes, **address}

    async def reply(self, request, message):
        if message["method"] not in METHODS[self.version]:
            error = {"code": -32601, "message": "method not found"}
            return web.json_response({"jsonrpc": "2.0", "id": message["id"], "error": error})
        [part] = message["params"]["message"]["parts"]
        whole, *updates = self._build_events(part["text"])
        if message["method"] == METHODS[self.version][0]:
            return web.json_response({"jsonrpc": "2.0", "id": message["id"], "result": whole})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for event in updates:
            data = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": event})
            await response.write(f"data: {data}\n\n".encode())
        await response.write_eof()
        return response

    def _build_events(self, text):
        """Return the finished task, and the events that lead to it."""
        is_old = self.version == "0.3"
        ids = {"id": str(uuid4()), "contextId": "c"}
        event = {"taskId": ids["id"], "contextId": "c"}
        part = {"kind": "text", "text": text} if is_old else {"text": text}
        artifact = {"artifactId": "a", "parts": [part]}
        done, working = (
            {"state": state if is_old else f"TASK_STATE_{state.upper()}"} for state in ("completed", "working")
        )
        task, finished = {**ids, "status": working}, {**ids, "status": done, "artifacts": [artifact]}
        if is_old:
            return (
                {"kind": "task", **finished},
                {"kind": "task", **task},
                {"kind": "artifact-update", **event, "artifact": artifact},
                {"kind": "status-update", **event, "status": done, "final": True},
            )
        return (
            {"task": finished},
            {"task": task},
            {"artifactUpdate": {**event, "artifact": artifact}},
            {"statusUpdate": {**event, "status": done}},
        )


@pytest.mark.covers("A2A-03")
async def test_every_client_reaches_every_agent_by_its_card(database_url):
    async with (
        plane_database(database_url) as url,
        Plane(backend="none", database_url=url) as plane,
        serve_agent(OneDialectAgent(version="0.3")) as old,
        serve_agent(OneDialectAgent(version="1.0")) as new,
    ):
        for agent in (old, new):
            workspace_id, token = await external(plane, f"agent-{agent.version}", delivery_mode="push")
            body = {"id": workspace_id, "agent_card": agent.card(), "url": agent.url}
            headers = {"Authorization": f"Bearer {token}"}
            registered = await plane.http.post("/registry/register", json=body, headers=headers)
            assert "warnings" not in registered.json()

            for generation in GENERATIONS:
                place = f"{plane.url}/workspaces/{workspace_id}"
                for base in (place, f"{place}/a2a"):
                    seen = await converse(generation, f"{base}/.well-known/agent-card.json", "hello")
                    assert (seen["plain"], seen["streamed"]) == ("hello", "hello"), (agent.version, generation)
                    assert seen["url"] == f"{place}/a2a"
