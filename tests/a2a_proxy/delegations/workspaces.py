"""Makes workspaces in the fake registry, and agents that answer with tasks."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from aiohttp import web

from protos.registry.v1 import registry_pb2
from tests.a2a_proxy.fake_services import FakeRegistry
from tests.agents import EchoAgent


class Workspaces:
    """Makes workspaces."""

    def __init__(self, registry: FakeRegistry) -> None:
        self._registry = registry

    def make(self, agent: EchoAgent | None = None, **fields) -> str:
        """Make a workspace with an agent that takes many tasks, or one whose agent is away; returns its id."""
        id_ = str(uuid4())
        values: dict[str, Any] = {"max_concurrent_tasks": 16}
        if agent is None:
            values["status"] = registry_pb2.WORKSPACE_STATUS_PAUSED
        else:
            values["address"] = agent.url
        self._registry.set_workspace(id_, **values | fields)
        return id_

    def make_polling(self) -> str:
        """Make a workspace that fetches its messages."""
        return self.make(status=registry_pb2.WORKSPACE_STATUS_ONLINE, delivery_mode=registry_pb2.DELIVERY_MODE_POLL)

    def bring_online(self, id_: str, agent: EchoAgent) -> None:
        """Give a workspace whose agent was away an agent."""
        self._registry.set_workspace(id_, status=registry_pb2.WORKSPACE_STATUS_ONLINE, address=agent.url)


@dataclass
class TaskAgent(EchoAgent):
    """Answers a message with a task at work, which is finished once a test sets `finished`; records cancellations."""

    finished: asyncio.Event = field(default_factory=asyncio.Event)
    asked: int = 0
    cancelled: list[str] = field(default_factory=list)

    async def reply(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        state = "working"
        match message["method"]:
            case "tasks/get":
                self.asked += 1
                state = "completed" if self.finished.is_set() else "working"
            case "tasks/cancel":
                self.cancelled.append(message["params"]["id"])
                state = "canceled"
        parts = [{"kind": "text", "text": "the result"}]
        task = {"kind": "task", "id": "task-1", "status": {"state": state}, "artifacts": [{"parts": parts}]}
        return web.json_response({"jsonrpc": "2.0", "id": message["id"], "result": task})


def read_token(agent: EchoAgent, place: int = -1) -> str:
    """Return the lineage token of a message that the agent received."""
    return json.loads(agent.bodies[place])["params"]["message"]["metadata"]["lineage_token"]
