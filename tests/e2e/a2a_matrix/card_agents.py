"""Agents of the official SDK 1.3 whose cards say in unusual ways what they serve."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from a2a.server.request_handlers.grpc_handler import GrpcHandler
from a2a.server.request_handlers.response_helpers import agent_card_to_dict
from a2a.server.routes import create_jsonrpc_routes, create_rest_routes
from a2a.types import AgentCard, AgentInterface
from google.protobuf.json_format import MessageToDict
from starlette.applications import Starlette

from tests.a2a_proxy.test_grpc_agents import serve_rpcs
from tests.http.conftest import run_server
from tests.molecule_a2a.rest.binding import build_card, build_handler

GRPC = "gRPC 1.0"

BOTH = "both versions and bindings"

NO_VERSION = "1.0, interface without version"

TOP_LEVEL = "1.0, snake_case, no interfaces"

CARD_AGENTS = (GRPC, BOTH, NO_VERSION, TOP_LEVEL)


@asynccontextmanager
async def serve_card_agents() -> AsyncIterator[dict[str, dict[str, Any]]]:
    """Yield the cards of the agents by their names."""
    handler = build_handler()
    both = Starlette(
        routes=[
            *create_rest_routes(handler, enable_v0_3_compat=True, path_prefix="/rest"),
            *create_jsonrpc_routes(handler, "/", enable_v0_3_compat=True),
        ]
    )
    current = Starlette(routes=create_jsonrpc_routes(handler, "/"))
    async with (
        serve_rpcs(GrpcHandler(handler)) as address,
        run_server(both) as both_url,
        run_server(current) as current_url,
    ):
        yield {
            GRPC: MessageToDict(build_card(address, "GRPC")),
            BOTH: agent_card_to_dict(_build_hybrid(both_url)),
            NO_VERSION: _leave_out_version(MessageToDict(build_card(current_url, "JSONRPC"))),
            TOP_LEVEL: _build_snake_case(current_url),
        }


def get_url(card: dict[str, Any]) -> str:
    """Return the address of the first interface of a card."""
    interfaces = card.get("supportedInterfaces", [card])
    url: str = interfaces[0]["url"]
    return url if "://" in url else f"http://{url}"


def _build_hybrid(url: str) -> AgentCard:
    card = build_card(url, "JSONRPC")
    card.supported_interfaces.extend(
        AgentInterface(url=f"{url}/rest", protocol_binding="HTTP+JSON", protocol_version=version)
        for version in ("1.0", "0.3")
    )
    return card


def _leave_out_version(card: dict[str, Any]) -> dict[str, Any]:
    [interface, *_] = card["supportedInterfaces"]
    del interface["protocolVersion"]
    return {**card, "supportedInterfaces": [interface]}


def _build_snake_case(url: str) -> dict[str, Any]:
    return {
        "name": "echo",
        "description": "Echoes",
        "version": "1",
        "protocol_version": "1.0.1",
        "url": url,
        "preferred_transport": "JSONRPC",
        "capabilities": {"streaming": True, "push_notifications": True, "extended_agent_card": True},
        "default_input_modes": ["text/plain"],
        "default_output_modes": ["text/plain"],
        "skills": [],
    }
