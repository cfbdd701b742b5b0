"""Agents that each serve A2A in one way, at an address that only the plane can reach."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from a2a.server.routes import create_jsonrpc_routes, create_rest_routes
from starlette.applications import Starlette

from deploy.plane import Plane
from tests.e2e.a2a_matrix.card_agents import CARD_AGENTS, get_url, serve_card_agents
from tests.e2e.a2a_matrix.framework_agents import FRAMEWORKS, serve_framework_agents
from tests.e2e.a2a_matrix.sdk_agents import SDK_OFFERS, serve_sdk_agents
from tests.e2e.conversation import wait_until_online
from tests.e2e.principals import external
from tests.e2e.sdk_clients import environments
from tests.http.conftest import run_server
from tests.molecule_a2a.rest.binding import build_handler
from tests.waiting import eventually

OFFERS: dict[str, tuple[str, str, str]] = {
    "JSON-RPC 1.0": ("rpc", "JSONRPC", "1.0"),
    "JSON-RPC 0.3": ("rpc", "JSONRPC", "0.3"),
    "SDK 0.3.26": ("sdk 0.3", "JSONRPC", "0.3"),
    "HTTP+JSON 1.0": ("rest", "HTTP+JSON", "1.0"),
    "HTTP+JSON 0.3": ("rest", "HTTP+JSON", "0.3"),
    **SDK_OFFERS,
}
"""The server of an official SDK, and the binding and version that the card offers, for each kind of agent."""

POLL = "polls its inbox"

HEARTBEAT_SECONDS = 20
"""An external workspace without a heartbeat for 90 s no longer receives messages."""

AGENTS = (*OFFERS, *CARD_AGENTS, *FRAMEWORKS, POLL)


@dataclass(frozen=True, slots=True)
class ServedAgent:
    """The workspace of an agent, and the agent's own address; empty for one that polls."""

    workspace_id: str
    url: str = ""


@asynccontextmanager
async def serve_agents(plane: Plane) -> AsyncIterator[dict[str, ServedAgent]]:
    """Yield the agents by their names."""
    handler = build_handler()
    rpc = Starlette(routes=create_jsonrpc_routes(handler, "/", enable_v0_3_compat=True))
    rest = Starlette(routes=create_rest_routes(handler, enable_v0_3_compat=True))
    async with (
        run_server(rpc) as rpc_url,
        run_server(rest) as rest_url,
        environments.serve_agent("0_3") as old_url,
        serve_sdk_agents() as sdk_urls,
        serve_card_agents() as cards,
        serve_framework_agents() as framework_cards,
        asyncio.TaskGroup() as group,
    ):
        urls = {"rpc": rpc_url, "rest": rest_url, "sdk 0.3": old_url, **sdk_urls}
        offered = {name: _build_card(name, urls[server], *offer) for name, (server, *offer) in OFFERS.items()}
        found, tokens = {}, {}
        for name, card in {**offered, **cards, **framework_cards}.items():
            url = get_url(card)
            workspace_id, token = await external(plane, name.replace(" ", "-"), delivery_mode="push")
            body = {"id": workspace_id, "agent_card": card, "url": url, "delivery_mode": "push"}
            await _post(plane, token, "/registry/register", body)
            found[name] = ServedAgent(workspace_id, url)
            tokens[workspace_id] = token
        polling_id, token = await external(plane, "poll", delivery_mode="poll")
        found[POLL] = ServedAgent(polling_id)
        tokens[polling_id] = token
        card = {"name": "poll", "description": "", "version": "1", "capabilities": {}, "skills": []}
        await _post(plane, token, "/registry/register", {"id": polling_id, "agent_card": card, "delivery_mode": "poll"})
        await wait_until_online(plane, *(agent.workspace_id for agent in found.values()))
        tasks = [
            group.create_task(_answer_inbox(plane, polling_id, token)),
            group.create_task(_send_heartbeats(plane, tokens)),
        ]
        yield found
        for task in tasks:
            task.cancel()


async def _send_heartbeats(plane: Plane, tokens: dict[str, str]) -> None:
    """Keep the workspaces online, as their agents would."""
    while True:
        for workspace_id, token in tokens.items():
            await _post(plane, token, "/registry/heartbeat", {"workspace_id": workspace_id})
        await asyncio.sleep(HEARTBEAT_SECONDS)


def _build_card(name: str, url: str, binding: str, version: str) -> dict[str, Any]:
    return {
        "name": name,
        "description": "",
        "version": "1",
        "skills": [],
        "capabilities": {"streaming": True, "pushNotifications": True, "extendedAgentCard": True},
        "supportedInterfaces": [{"url": url, "protocolBinding": binding, "protocolVersion": version}],
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
    }


async def _post(plane: Plane, token: str, path: str, body: dict[str, Any]) -> None:
    """Send a request; again while the plane asks for it by 503."""

    async def is_accepted() -> bool:
        answer = await plane.http.post(path, json=body, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code in {200, 503}, answer.text
        return answer.status_code == 200

    await eventually(is_accepted)


async def _answer_inbox(plane: Plane, workspace_id: str, token: str) -> None:
    """Answer each message with its own text, but return those that say `wait`."""
    headers, path = {"Authorization": f"Bearer {token}"}, f"/workspaces/{workspace_id}/inbox"
    while True:
        query = {"wait": 5, "max": 1, "lease_seconds": 60}
        items = (await plane.http.get(path, params=query, headers=headers, timeout=30)).json()
        for item in items:
            [part] = item["message"]["params"]["message"]["parts"]
            if "wait" in part["text"]:
                body = {"receipt": item["receipt"], "delay_seconds": 3600}
                await plane.http.post(f"{path}/{item['id']}/nack", json=body, headers=headers)
                continue
            message = {
                "kind": "message",
                "messageId": "m",
                "role": "agent",
                "parts": [{"kind": "text", "text": part["text"]}],
            }
            body = {"receipt": item["receipt"], "result": message}
            await plane.http.post(f"{path}/{item['id']}/ack", json=body, headers=headers)
