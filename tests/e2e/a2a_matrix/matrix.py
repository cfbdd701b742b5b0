"""A plane with the agents of the matrix, for the length of a test file."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from deploy.plane import Plane
from tests.databases import plane_database
from tests.e2e.a2a_matrix.agents import AGENTS, POLL, ServedAgent, serve_agents
from tests.e2e.a2a_matrix.clients import Client
from tests.e2e.a2a_matrix.grpc_client import GrpcClient

PUSHED = tuple(name for name in AGENTS if name != POLL)
"""The agents that have an address of their own."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """The plane, its address of gRPC, and the agents by their names."""

    plane: Plane
    grpc_address: str
    agents: dict[str, ServedAgent]

    def get_base(self, agent: str) -> str:
        """Return the address at which a client finds the card of an agent."""
        return f"{self.plane.url}/workspaces/{self.agents[agent].workspace_id}/a2a"

    def locate(self, client: type[Client], agent: str) -> str:
        """Return the address of the binding of a client."""
        if client is GrpcClient:
            return f"{self.grpc_address}/{self.agents[agent].workspace_id}"
        return self.get_base(agent) + ("/rest" if "HTTP" in client.name else "")


@asynccontextmanager
async def run_matrix(database_url: str) -> AsyncIterator[Matrix]:
    """Run the plane and the agents."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    env = {"GATEWAY_GRPC_LISTEN": address}
    async with (
        plane_database(database_url) as url,
        Plane(backend="none", database_url=url, env=env) as plane,
        serve_agents(plane) as agents,
    ):
        yield Matrix(plane, address, agents)
