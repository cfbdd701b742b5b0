"""A gateway in front of a real registry, for routes that store and read notes."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from services.chassis.identity import Identity, Kind
from services.chassis.service import run_service
from services.registry.app import service
from services.registry.settings import Settings
from tests import databases
from tests.gateway.conftest import GatewayUnderTest, run_gateway_under_test
from tests.gateway.fake_services import workspace
from tests.registry.fake_auth import FakeAuth, serve_auth
from tests.rpc import serve


@dataclass(frozen=True)
class GatewayWithRegistry:
    """The gateway, and requests to it."""

    plane: GatewayUnderTest

    async def create_workspace(self, name: str = "ada", **fields: Any) -> str:
        """Create a workspace; its id is its bearer as well."""
        answer = await self.plane.http.post("/workspaces", json={"name": name, "runtime": "echo", **fields})
        workspace_id = str(answer.json()["id"])
        self.plane.auth.known[workspace_id] = workspace(workspace_id)
        return workspace_id

    def add_org_token(self, org_id: str, *scopes: str) -> str:
        """Return a bearer of an organisation."""
        self.plane.auth.known["org"] = Identity(
            kind=Kind.ORG, name="token", org_id=org_id, scopes=frozenset(scopes or {"admin"})
        )
        return "org"

    async def request(self, method: str, path: str, body: Any = None, *, by: str = "") -> httpx.Response:
        """Send one request, anonymous without a bearer."""
        headers = {"Authorization": f"Bearer {by}"} if by else {}
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        return await self.plane.http.request(method, path, content=content, headers=headers)

    async def request_json(self, method: str, path: str, body: Any = None, *, by: str = "") -> tuple[int, Any]:
        """Send one request; returns status and JSON of the response."""
        answer = await self.request(method, path, body, by=by)
        return answer.status_code, answer.json()


@asynccontextmanager
async def run_gateway_with_registry(database_url: str, listen: str) -> AsyncIterator[GatewayWithRegistry]:
    """Run both within the `with` block."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(databases.open_empty_database(database_url, service))
        auth = await stack.enter_async_context(serve([serve_auth(FakeAuth())]))
        values = Settings(mode="development", listen=listen, database_url=database_url, auth_targets=auth)
        address = await stack.enter_async_context(run_service(service, values))
        yield GatewayWithRegistry(await stack.enter_async_context(run_gateway_under_test(registry_targets=address)))
