"""The gRPC binding of a whole gateway: settings, the gate, cards, metrics and the end of the server."""

import asyncio
import json
import socket

import grpc
import pytest
from a2a.types import a2a_pb2
from a2a.types.a2a_pb2_grpc import A2AServiceStub

from gateway.server import run_gateway
from gateway.settings import Settings
from protos.a2a_proxy.v1 import a2a_proxy_pb2 as pb
from protos.auth.v1 import auth_pb2
from protos.registry.v1 import registry_pb2
from services.chassis.settings import InvalidSettings, Mode
from tests.gateway.conftest import run_gateway_under_test
from tests.gateway.echoing_proxy import EchoingProxy
from tests.gateway.fake_services import ADMIN, FakeAuth, workspace
from tests.waiting import eventually

W = "11111111-1111-4111-8111-111111111111"
V = "22222222-2222-4222-8222-222222222222"

TASK = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"id": "T"}}).encode()
REQUEST = a2a_pb2.GetTaskRequest(tenant=V, id="T")
TARGETS = {f"{service}_targets": "unix:/nowhere" for service in ("registry", "auth", "a2a_proxy", "provisioner")}


class AnsweringProxy(EchoingProxy):
    """Answers every message with a task, once `go` is set."""

    def __init__(self):
        super().__init__()
        self.go = asyncio.Event()
        self.go.set()

    async def Exchange(self, requests, context):
        async for response in super().Exchange(requests, context):
            await self.go.wait()
            yield response

    def reply(self, opening):
        return [pb.ReplyFrame(head=pb.ReplyHead(status=200, body=TASK, complete=True))]


@pytest.fixture
def address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return f"127.0.0.1:{probe.getsockname()[1]}"


async def test_a_call_passes_the_middleware_and_its_gate(address):
    proxy, auth = AnsweringProxy(), FakeAuth(known={"w": workspace(W), "a": ADMIN})
    async with (
        run_gateway_under_test(auth=auth, proxy=proxy.servicer(), admin_token="a", grpc_listen=address) as plane,
        grpc.aio.insecure_channel(address) as channel,
    ):
        stub = A2AServiceStub(channel)
        metadata = (("authorization", "Bearer w"), ("x-workspace-id", W), ("x-request-id", "mine"))
        call = stub.GetTask(REQUEST, metadata=metadata, timeout=50)
        assert (await call).id == "T"
        assert dict(await call.initial_metadata())["x-ratelimit-limit"] == "600"

        [opened] = proxy.opened
        assert (opened.workspace_id, opened.identity.name, opened.request_id) == (V, W, "mine")
        assert 45 <= int(opened.timeout) <= 50
        assert auth.received[0] == auth_pb2.AuthorizeRequest(
            bearer="w", gate=auth_pb2.GATE_A2A, scope="a2a", workspace_id=V, claimed_workspace_id=W
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetTask(REQUEST)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED

        counted = await plane.http.get("/metrics", headers={"Authorization": "Bearer a"})
        label = 'method="POST",path="/lf.a2a.v1.A2AService/GetTask",status="200"'
        assert f"molecule_http_requests_total{{{label}}} 1.0" in counted.text


async def test_cards_offer_the_binding_where_it_has_an_address(address):
    card = {"name": "n", "supportedInterfaces": [{"url": "http://10.0.0.1/", "protocolVersion": "1.0", "tenant": "t"}]}
    for settings, url in (({"grpc_listen": address}, address), ({}, None)):
        async with run_gateway_under_test(**settings) as plane:
            plane.registry.replies["GetCard"] = registry_pb2.GetCardResponse(agent_card=json.dumps(card).encode())
            shown = (await plane.http.get(f"/workspaces/{W}/a2a/.well-known/agent-card.json")).json()

        offered = [one for one in shown["supportedInterfaces"] if one["protocolBinding"] == "GRPC"]
        expected = {"url": url, "protocolBinding": "GRPC", "protocolVersion": "1.0", "tenant": f"{W}/t"}
        assert offered == ([expected] if url else [])
        assert "GRPC" not in json.dumps(shown["additionalInterfaces"])


@pytest.mark.parametrize(
    ("mode", "settings", "shown"),
    [
        (Mode.DEVELOPMENT, {}, ""),
        (Mode.DEVELOPMENT, {"grpc_url": "g.example:443"}, ""),
        (Mode.DEVELOPMENT, {"grpc_listen": "[::1]:1"}, "[::1]:1"),
        (Mode.DEVELOPMENT, {"grpc_listen": "localhost:1", "grpc_url": "g.example:443"}, "g.example:443"),
        (Mode.PRODUCTION, {"grpc_listen": "0.0.0.0:1"}, ""),
        (Mode.PRODUCTION, {"grpc_listen": "0.0.0.0:1", "grpc_url": "g.example:443"}, "g.example:443"),
    ],
)
def test_the_address_in_cards(mode, settings, shown):
    assert Settings(mode=mode, admin_token="0123456789abcdef" * 2, **TARGETS, **settings).shown_grpc_url == shown


@pytest.mark.parametrize(
    "settings",
    [
        {"grpc_listen": "50051"},
        {"grpc_listen": "127.0.0.1"},
        {"grpc_listen": "http://127.0.0.1:1"},
        {"grpc_url": "g.example"},
        {"grpc_listen": "0.0.0.0:1"},
    ],
)
def test_an_address_that_cannot_be_used_is_refused(settings):
    with pytest.raises(ValueError, match=r"host and a port|loopback"):
        Settings(mode=Mode.DEVELOPMENT, **TARGETS, **settings)


async def test_an_address_in_use_stops_the_start():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(InvalidSettings, match=f"cannot listen on {address}"):
            async with run_gateway(Settings(mode=Mode.DEVELOPMENT, port=0, grpc_listen=address, **TARGETS)):
                pass


async def test_an_active_call_is_answered_before_the_gateway_stops(address):
    proxy = AnsweringProxy()
    proxy.go.clear()
    async with grpc.aio.insecure_channel(address) as channel, asyncio.TaskGroup() as group:
        async with run_gateway_under_test(proxy=proxy.servicer(), grpc_listen=address):
            answering = group.create_task(ask(A2AServiceStub(channel)))
            assert await eventually(lambda: proxy.opened)
            asyncio.get_running_loop().call_later(0.1, proxy.go.set)
        assert (await answering).id == "T"


async def ask(stub):
    return await stub.GetTask(REQUEST)
