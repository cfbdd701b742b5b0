"""Whom a message is from, through the gateway, a real auth and a real A2A proxy."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest

from gateway.authentication import Authenticator
from gateway.exchange import ExchangePool
from protos.auth.v1 import auth_pb2, auth_pb2_grpc, tokens_pb2, tokens_pb2_grpc
from services.auth.app import service
from services.auth.settings import Settings
from services.chassis import clients
from services.chassis.clients import ServiceChannel
from services.chassis.identity import Identity, Kind
from services.chassis.service import run_service
from services.chassis.settings import Mode
from tests import databases
from tests.a2a_proxy.running_proxy import RunningProxy, run_proxy
from tests.agents import EchoAgent, serve_agent
from tests.gateway.gateway_with_proxy import OTHER, TARGET, application, hello
from tests.http.conftest import run_server
from tests.waiting import eventually

CALLER = "b798b45d-16e4-4f00-a409-234e988928c9"
ORG = TARGET
INVALID = (401, {"error": "invalid caller auth token"})


@dataclass
class Callers:
    """A gateway, and the tokens with which callers come to it."""

    url: str
    http: aiohttp.ClientSession
    proxy: RunningProxy
    auth: ServiceChannel
    agent: EchoAgent

    @property
    def registry(self) -> ServiceChannel:
        return ServiceChannel(self.auth.channel, "registry")

    async def issue_token(self) -> auth_pb2.IssueTokenResponse:
        """Return a new token of the caller."""
        stub = auth_pb2_grpc.AuthServiceStub(self.auth.channel)
        return await self.registry.call(stub.IssueToken, auth_pb2.IssueTokenRequest(workspace_id=CALLER))

    async def mint_org_token(self) -> str:
        stub = tokens_pb2_grpc.TokenServiceStub(self.auth.channel)
        request = tokens_pb2.MintOrgTokenRequest(org_id=ORG, name="ci", scopes=["a2a"])
        return (await self.auth.call(stub.MintOrgToken, request, on_behalf_of=Identity(kind=Kind.ADMIN))).auth_token

    async def send(self, bearer: str, *, claimed: str | None = None) -> tuple[int, dict]:
        """Send a message to the target; returns status and body of the answer."""
        headers = {"Authorization": f"Bearer {bearer}"} | ({"X-Workspace-ID": claimed} if claimed else {})
        async with self.http.post(f"{self.url}/workspaces/{TARGET}/a2a", json=hello(), headers=headers) as answer:
            return answer.status, await answer.json()

    async def list_sources(self, count: int) -> list[str | None]:
        """Return the sources of the messages to the target, once there are so many."""

        async def rows():
            found = await self.proxy.list_activities(TARGET)
            return found if len(found) >= count else None

        return [row.source_id for row in await eventually(rows)]


@pytest.fixture
async def callers(database_url, tmp_path) -> AsyncIterator[Callers]:
    settings = Settings(
        mode=Mode.DEVELOPMENT,
        listen=f"unix:{tmp_path}/auth.sock",
        database_url=database_url,
        admin_token="the operator's own",
        secrets_encryption_key="k" * 32,
    )
    async with (
        databases.open_empty_database(database_url, service),
        run_service(service, settings) as address,
        clients.open_channel(address, caller_service="gateway") as auth,
        run_proxy(database_url) as proxy,
        run_message_path(auth, proxy) as url,
        aiohttp.ClientSession() as http,
        serve_agent(EchoAgent()) as agent,
    ):
        found = Callers(url, http, proxy, auth, agent)
        placements = [auth_pb2.Placement(workspace_id=one, org_id=ORG) for one in (TARGET, CALLER, OTHER)]
        stub = auth_pb2_grpc.AuthServiceStub(auth.channel)
        await found.registry.call(stub.ConfirmWorkspaces, auth_pb2.ConfirmWorkspacesRequest(placements=placements))
        for one in (TARGET, CALLER, OTHER):
            proxy.registry.set_workspace(one, address=agent.url)
        yield found


@asynccontextmanager
async def run_message_path(auth: ServiceChannel, proxy: RunningProxy) -> AsyncIterator[str]:
    async with (
        clients.open_channel(proxy.address, caller_service="gateway") as line,
        asyncio.TaskGroup() as group,
    ):
        authenticator, exchanges = Authenticator(auth), ExchangePool([line])
        running = [group.create_task(exchanges.run()), group.create_task(authenticator.follow_revocations())]
        async with run_server(application(authenticator, exchanges)) as url:
            yield url
        for task in running:
            task.cancel()


@pytest.mark.covers("A2A-09")
async def test_the_owner_of_the_bearer_is_the_source_and_no_other_can_be_claimed(callers):
    token = (await callers.issue_token()).auth_token

    assert (await callers.send(token))[0] == 200
    assert await callers.send(token, claimed=OTHER) == INVALID
    assert (await callers.send(token, claimed=CALLER))[0] == 200
    assert await callers.list_sources(2) == [CALLER, CALLER]


@pytest.mark.covers("A2A-10")
async def test_an_org_token_has_no_source_whatever_it_claims(callers):
    token = await callers.mint_org_token()

    assert (await callers.send(token))[0] == 200
    assert (await callers.send(token, claimed=CALLER))[0] == 200
    assert await callers.list_sources(2) == [None, None]


@pytest.mark.covers("A2A-10")
@pytest.mark.parametrize("ending", ["revoked", "removed"])
async def test_a_bearer_that_names_nobody_any_more_is_refused_by_the_gate(callers, ending):
    issued = await callers.issue_token()
    assert (await callers.send(issued.auth_token))[0] == 200
    stub = auth_pb2_grpc.AuthServiceStub(callers.auth.channel)

    if ending == "revoked":
        request = auth_pb2.RevokeTokensRequest(workspace_id=CALLER, token_id=issued.token_id)
        await callers.registry.call(stub.RevokeTokens, request)
    else:
        await callers.registry.call(stub.BarWorkspace, auth_pb2.BarWorkspaceRequest(workspace_id=CALLER))

    async def is_refused() -> bool:
        return await callers.send(issued.auth_token) == INVALID

    await eventually(is_refused)
    received = len(callers.agent.bodies)
    assert await callers.send(issued.auth_token, claimed=CALLER) == INVALID
    assert len(callers.agent.bodies) == received
    assert set(await callers.list_sources(1)) == {CALLER}
