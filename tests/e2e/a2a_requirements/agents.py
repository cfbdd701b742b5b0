"""The agents of the requirements, alone and as workspaces of a plane."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.request_handlers.grpc_handler import GrpcHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.server.tasks import BasePushNotificationSender, InMemoryPushNotificationConfigStore, InMemoryTaskStore
from a2a.types import AgentCapabilities, AgentCard, AgentExtension, AgentInterface, AgentSkill
from google.protobuf import json_format
from starlette.applications import Starlette

from deploy.plane import Plane
from tests.a2a_proxy.test_grpc_agents import serve_rpcs
from tests.e2e.a2a_requirements.caller import Address
from tests.e2e.a2a_requirements.executor import REQUIRED_EXTENSION, RequirementExecutor
from tests.e2e.conversation import wait_until_online
from tests.e2e.principals import external
from tests.http.conftest import run_server
from tests.waiting import eventually

FULL, PLAIN, STRICT = "full", "plain", "strict"
"""An agent with every capability, one with none, and one that requires an extension, refuses media types that its card
does not name, and has no extended card although its card says so."""

KINDS = (FULL, PLAIN, STRICT)

MAX_CONCURRENT_TASKS = 64
"""More than the checks have under way at once."""

HEARTBEAT_SECONDS = 15.0

INPUT_MODES = ["text/plain", "application/json", "image/png"]


Start = Callable[[Coroutine[Any, Any, None]], None]
"""Starts work in the background."""


@dataclass(frozen=True, slots=True)
class ServedAgent:
    """An agent at its own address, and the card that it serves."""

    address: Address
    card: AgentCard


def build_card(kind: str, interfaces: list[tuple[str, str, str]]) -> AgentCard:
    """Return the card of an agent that offers the given addresses, bindings and versions."""
    capabilities = {
        FULL: AgentCapabilities(streaming=True, push_notifications=True, extended_agent_card=True),
        PLAIN: AgentCapabilities(),
        STRICT: AgentCapabilities(
            streaming=True,
            push_notifications=True,
            extended_agent_card=True,
            extensions=[AgentExtension(uri=REQUIRED_EXTENSION, required=True)],
        ),
    }
    return AgentCard(
        name=f"agent {kind}",
        description="Answers as the test asks",
        version="1.2",
        skills=[AgentSkill(id="echo", name="echo", description="Echoes", tags=["echo"])],
        capabilities=capabilities[kind],
        supported_interfaces=[
            AgentInterface(url=url, protocol_binding=binding, protocol_version=version)
            for url, binding, version in interfaces
        ],
        default_input_modes=INPUT_MODES,
        default_output_modes=["text/plain"],
    )


@asynccontextmanager
async def serve_agent(kind: str, http: httpx.AsyncClient) -> AsyncIterator[ServedAgent]:
    """Serve an agent of the official SDK in every binding; its tasks are the same in all of them."""
    card = build_card(kind, [("http://agent", "JSONRPC", "1.0")])
    configs = InMemoryPushNotificationConfigStore()
    handler = DefaultRequestHandler(
        agent_executor=RequirementExecutor(REQUIRED_EXTENSION if kind == STRICT else ""),
        task_store=InMemoryTaskStore(),
        agent_card=card,
        push_config_store=configs,
        push_sender=BasePushNotificationSender(http, configs),
        extended_agent_card=card if kind == FULL else None,
        validate_input_modes=kind == STRICT,
    )
    served_card = AgentCard()
    rpc = Starlette(
        routes=[
            *create_jsonrpc_routes(handler, "/", enable_v0_3_compat=True),
            *create_agent_card_routes(served_card, cache_control="max-age=60"),
        ]
    )
    rest = Starlette(routes=create_rest_routes(handler, enable_v0_3_compat=True))
    async with run_server(rpc) as rpc_url, run_server(rest) as rest_url, serve_rpcs(GrpcHandler(handler)) as grpc:
        offered = [
            *((f"{rpc_url}/", "JSONRPC", version) for version in ("1.0", "0.3")),
            *((rest_url, "HTTP+JSON", version) for version in ("1.0", "0.3")),
            (grpc, "GRPC", "1.0"),
        ]
        for target in (card, served_card):
            target.CopyFrom(build_card(kind, offered))
        card_url = f"{rpc_url}/.well-known/agent-card.json"
        yield ServedAgent(Address(rpc=f"{rpc_url}/", rest=rest_url, grpc=grpc, card=card_url), served_card)


@asynccontextmanager
async def run_in_background() -> AsyncIterator[Start]:
    """Yield a function that starts work, and cancel the work at the end of the block."""
    tasks: list[asyncio.Task[None]] = []
    try:
        yield lambda work: tasks.append(asyncio.create_task(work))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def serve_agents(http: httpx.AsyncClient) -> AsyncIterator[dict[str, ServedAgent]]:
    """Serve one agent of each kind."""
    async with AsyncExitStack() as stack:
        yield {kind: await stack.enter_async_context(serve_agent(kind, http)) for kind in KINDS}


async def register(plane: Plane, agent: ServedAgent, dialect: str, start: Start) -> Address:
    """Register an agent by its interface of one dialect, such as `HTTP+JSON 1.0`; returns its address on the plane."""
    card = AgentCard()
    card.CopyFrom(agent.card)
    binding, version = dialect.upper().replace("JSON-RPC", "JSONRPC").split()
    kept = [
        one
        for one in agent.card.supported_interfaces
        if (one.protocol_binding, one.protocol_version) == (binding, version)
    ]
    del card.supported_interfaces[:]
    card.supported_interfaces.extend(kept)
    name = "-".join(re.findall("[a-z0-9]+", f"{card.name} {dialect}".lower()))
    workspace_id, token = await create_workspace(plane, name, delivery_mode="push")
    url = kept[0].url if "://" in kept[0].url else f"http://{kept[0].url}"
    document = json.loads(json_format.MessageToJson(card))
    body = {"id": workspace_id, "agent_card": document, "url": url, "delivery_mode": "push"}
    await bring_online(plane, body, token, start)
    return build_address(plane, workspace_id)


async def create_workspace(plane: Plane, name: str, **fields: str) -> tuple[str, str]:
    """Create an external workspace as soon as the plane can; returns its id and token."""

    async def create() -> tuple[str, str] | None:
        try:
            return await external(plane, name, max_concurrent_tasks=MAX_CONCURRENT_TASKS, **fields)
        except AssertionError as error:
            if "platform_unavailable" in str(error):
                return None
            raise

    return await eventually(create, within=60)


async def bring_online(plane: Plane, body: dict[str, Any], token: str, start: Start) -> None:
    """Register a workspace by the body for it, and send its heartbeats in the background."""
    headers = {"Authorization": f"Bearer {token}"}
    answer = await plane.http.post("/registry/register", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.json().get("warnings", []) == []
    await wait_until_online(plane, body["id"])
    start(_send_heartbeats(plane, body["id"], headers))


async def _send_heartbeats(plane: Plane, workspace_id: str, headers: dict[str, str]) -> None:
    body = {"workspace_id": workspace_id, "error_rate": 0.0, "active_tasks": 0, "uptime_seconds": 1}
    while True:
        await asyncio.sleep(HEARTBEAT_SECONDS)
        with suppress(httpx.HTTPError):
            await plane.http.post("/registry/heartbeat", json=body, headers=headers)


def build_address(plane: Plane, workspace_id: str) -> Address:
    """Return the address of a workspace for callers of the requirements."""
    url = f"{plane.url}/workspaces/{workspace_id}/a2a"
    return Address(
        rpc=url,
        rest=f"{url}/rest",
        grpc=plane.grpc_address,
        tenant=workspace_id,
        card=f"{url}/.well-known/agent-card.json",
        headers=plane.admin,
    )
