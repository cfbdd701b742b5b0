"""The requirements of A2A about callers with credentials and about TLS, in a plane in production."""

import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta

import grpc
import httpx
import pytest
import pytest_asyncio
from a2a.types import a2a_pb2
from a2a.types.a2a_pb2_grpc import A2AServiceStub

from deploy import certs
from deploy.plane import Plane
from tests.databases import plane_database
from tests.e2e.a2a_requirements.agents import build_address
from tests.e2e.a2a_requirements.caller import Address, Caller
from tests.e2e.a2a_requirements.polling import CARD
from tests.e2e.a2a_requirements.probe import build_send
from tests.e2e.a2a_requirements.run import DIALECTS
from tests.e2e.a2a_requirements.tls_proxy import serve_tls_proxy
from tests.e2e.modes import PRODUCTION
from tests.e2e.principals import external

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

SHOWN_ADDRESS = "grpc.plane.example:443"


@dataclass(frozen=True, slots=True)
class Scene:
    """A workspace that polls, and two workspaces beside it that write to it."""

    plane: Plane
    grpc_address: str
    address: Address
    """Without a credential."""
    callers: tuple[dict[str, str], dict[str, str]]
    """The headers of the two."""

    def open(self, dialect: str, http: httpx.AsyncClient, headers: dict[str, str]) -> Caller:
        return DIALECTS[dialect](http, replace(self.address, headers=headers))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(database_url: str) -> AsyncIterator[Scene]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    env = {**PRODUCTION, "GATEWAY_GRPC_LISTEN": address, "GATEWAY_GRPC_URL": SHOWN_ADDRESS}
    async with plane_database(database_url) as url, Plane(backend="none", database_url=url, env=env) as plane:
        plane.grpc_address = address
        root, _ = await external(plane, "root")
        target, token = await external(plane, "target", parent_id=root, delivery_mode="poll")
        callers = [(await external(plane, name, parent_id=root))[1] for name in ("one", "two")]
        body = {"id": target, "agent_card": CARD, "delivery_mode": "poll"}
        answer = await plane.http.post("/registry/register", json=body, headers=_bear(token))
        assert answer.status_code == 200, answer.text
        bare = replace(build_address(plane, target), headers={})
        yield Scene(plane, address, bare, (_bear(callers[0]), _bear(callers[1])))


def _bear(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_extended_card_needs_a_credential_and_the_refusal_names_the_scheme(scene, dialect):
    async with httpx.AsyncClient(trust_env=False) as http:
        for headers in ({}, _bear("no token of this plane")):
            caller = scene.open(dialect, http, headers)
            if dialect.startswith("gRPC"):
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await _call_rpc(scene.grpc_address, scene.address.tenant, headers)
                assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
                challenge = dict(refused.value.trailing_metadata())["www-authenticate"]
            else:
                reply = await caller.call("card", {})
                assert reply.status == 401
                challenge = reply.headers["www-authenticate"]
            assert challenge.startswith("Bearer")
            await caller.close()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("dialect", [name for name in DIALECTS if name.endswith("1.0")])
async def test_a_list_holds_the_tasks_of_its_caller_only(scene, dialect):
    async with httpx.AsyncClient(trust_env=False) as http:
        one, two = (scene.open(dialect, http, headers) for headers in scene.callers)
        mine = {(await one.call("send", build_send("mine"))).task["id"] for _ in range(2)}
        theirs = (await two.call("send", build_send("theirs"))).task["id"]

        listed = [(await caller.call("list", {"pageSize": 100})).result for caller in (one, two)]
        ids = [{task["id"] for task in page["tasks"]} for page in listed]
        assert mine <= ids[0]
        assert theirs in ids[1]
        assert not ids[0] & ids[1]
        assert [page["totalSize"] for page in listed] == [len(ids[0]), len(ids[1])]
        (await two.call("get", {"id": next(iter(mine))})).must_be("TASK_NOT_FOUND")
        for caller in (one, two):
            await caller.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_grpc_is_served_over_tls_and_cards_name_the_address_for_it(scene, tmp_path):
    certs.create_certificates(tmp_path, hosts=["127.0.0.1"], validity=timedelta(days=1))
    leaf = {"certificate": tmp_path / "gateway.pem", "key": tmp_path / "gateway-key.pem"}
    credentials = grpc.ssl_channel_credentials((tmp_path / "ca.pem").read_bytes())
    async with serve_tls_proxy(scene.grpc_address, **leaf) as address:
        listed = await _call_rpc(address, scene.address.tenant, scene.callers[0], credentials, method="ListTasks")
        assert listed.page_size == 50
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await _call_rpc(address, scene.address.tenant, scene.callers[0], grpc.ssl_channel_credentials())
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    answer = await scene.plane.http.get(scene.address.card, headers={**scene.plane.admin, "A2A-Version": "1.0"})
    offered = {one["protocolBinding"]: one["url"] for one in json.loads(answer.text)["supportedInterfaces"]}
    assert offered["GRPC"] == SHOWN_ADDRESS


async def _call_rpc(address, tenant, headers, credentials=None, method="GetExtendedAgentCard"):
    """Call a method of gRPC whose request needs no more than a tenant."""
    metadata = [(name.lower(), value) for name, value in {**headers, "A2A-Version": "1.0"}.items()]
    opened = grpc.aio.secure_channel(address, credentials) if credentials else grpc.aio.insecure_channel(address)
    async with opened as channel:
        return await getattr(A2AServiceStub(channel), method)(REQUESTS[method](tenant=tenant), metadata=metadata)


REQUESTS = {
    "GetExtendedAgentCard": a2a_pb2.GetExtendedAgentCardRequest,
    "ListTasks": a2a_pb2.ListTasksRequest,
}
