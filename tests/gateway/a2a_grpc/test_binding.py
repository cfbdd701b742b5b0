"""The gRPC binding in front of a whole A2A proxy, whose agents speak JSON-RPC 1.0."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import grpc
import pytest
from a2a.compat.v0_3 import a2a_v0_3_pb2 as legacy_pb
from a2a.compat.v0_3.a2a_v0_3_pb2_grpc import A2AServiceStub as LegacyStub
from a2a.types import a2a_pb2 as pb
from a2a.types.a2a_pb2_grpc import A2AServiceStub
from aiohttp import web
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from gateway.a2a_grpc.app import RpcApp
from gateway.a2a_grpc.server import A2aService, bind_server, run_server
from gateway.cors import CorsPolicy
from gateway.hosts import HostPolicy
from gateway.limits import RateLimiter
from gateway.metrics import RequestMetrics
from gateway.middleware import RequestMiddleware
from gateway.proxy_headers import ProxyHeaders
from gateway.routes.a2a_rest import RestApp
from protos.auth.v1 import auth_pb2
from protos.registry.v1 import registry_pb2
from tests.a2a_proxy.dialect_agents import LegacyAgent
from tests.agents import EchoAgent, MisbehavingAgent, serve_agent
from tests.gateway.gateway_with_proxy import (
    MEBIBYTE,
    TARGET,
    GatewayWithProxy,
    elsewhere,
    run_gateway_with_proxy,
)
from tests.gateway.test_a2a_rest import TASK, CurrentAgent
from tests.gateway.test_departures import WatchedAgent
from tests.waiting import eventually

MESSAGE = {"message": {"messageId": "m-1", "contextId": "C", "role": "ROLE_USER", "parts": [{"text": "hi"}]}}


EVENT_BYTES = 64 * 1024


@dataclass
class EndlessAgent(EchoAgent):
    """Streams one event, and without a `pause` more of them until its caller leaves."""

    pause: bool = True
    result: dict = field(default_factory=lambda: {"task": TASK})
    sent: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)
    seen: int = -1

    async def stream(self, request, message):
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        filled = {**self.result, "filler": "x" * (0 if self.pause else EVENT_BYTES)}
        event = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": filled})
        try:
            while True:
                await response.write(f"data: {event}\n\n".encode())
                self.sent += 1
                while self.pause:
                    await asyncio.Event().wait()
        finally:
            self.left.set()

    async def reply(self, request, message):
        return await self.stream(request, message)

    def is_blocked(self):
        """Whether nothing was sent since the last time that a test asked."""
        before, self.seen = self.seen, self.sent
        return before == self.sent


@dataclass
class RpcGateway:
    """The gRPC binding of a gateway."""

    behind: GatewayWithProxy
    channel: grpc.aio.Channel
    stub: A2AServiceStub


@asynccontextmanager
async def serve_rpc(behind: GatewayWithProxy, *, rates: RateLimiter | None = None, max_calls: int = 100):
    headers, hosts = ProxyHeaders((), ""), HostPolicy(())
    rest = RestApp(
        behind.callers,
        behind.exchanges,
        fallback=elsewhere,
        base_url=lambda _: "https://plane.example",
        bearer_needed=True,
        grpc_url="grpc.plane.example:443",
    )
    app = RequestMiddleware(
        RpcApp(rest),
        hosts=hosts,
        cors=CorsPolicy(frozenset(), "", hosts),
        rates=rates,
        proxy_headers=headers,
        metrics=RequestMetrics(),
    )
    service = A2aService(app, proxy_headers=headers, host="localhost", max_calls_per_client=max_calls)
    async with (
        bind_server("127.0.0.1:0") as (server, port),
        run_server(server, service, shutdown_seconds=1),
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield RpcGateway(behind=behind, channel=channel, stub=A2AServiceStub(channel))


@pytest.fixture
async def behind(database_url: str) -> AsyncIterator[GatewayWithProxy]:
    async with run_gateway_with_proxy(database_url) as behind:
        yield behind


@pytest.fixture
async def gateway(behind) -> AsyncIterator[RpcGateway]:
    async with serve_rpc(behind) as gateway:
        yield gateway


@pytest.fixture
async def agent(behind) -> AsyncIterator[CurrentAgent]:
    async with serve_agent(CurrentAgent()) as agent:
        behind.proxy.registry.set_workspace(TARGET, address=agent.url)
        yield agent


def build(form, tenant=TARGET, **members):
    return ParseDict({"tenant": tenant, **members}, form())


def hello(tenant=TARGET, **members):
    return build(pb.SendMessageRequest, tenant, **(MESSAGE | members))


async def get_refusal(call):
    """The code, the text and the first reason with its domain of an RPC that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return read_refusal(caught.value)


def read_refusal(error):
    status = Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    assert (status.code, status.message) == (error.code().value[0], error.details())
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    return error.code().name, error.details(), f"{info.domain} {info.reason}"


@pytest.mark.parametrize(
    ("name", "request_", "asked", "answered"),
    [
        ("SendMessage", hello(), MESSAGE, {"task": TASK}),
        ("SendMessage", hello(f"{TARGET.upper()}/a/b"), {**MESSAGE, "tenant": "a/b"}, {"task": TASK}),
        ("GetTask", build(pb.GetTaskRequest, id="../a", historyLength=0), {"id": "../a", "historyLength": 0}, TASK),
        (
            "ListTasks",
            build(pb.ListTasksRequest, contextId="C", status="TASK_STATE_WORKING", includeArtifacts=True),
            {"contextId": "C", "status": "TASK_STATE_WORKING", "includeArtifacts": True},
            {"tasks": [TASK]},
        ),
        (
            "CancelTask",
            build(pb.CancelTaskRequest, id="T", metadata={"a": 3, "b": 1.5}),
            {"id": "T", "metadata": {"a": 3, "b": 1.5}},
            TASK,
        ),
        (
            "CreateTaskPushNotificationConfig",
            build(pb.TaskPushNotificationConfig, taskId="T", id="P", url="https://8.8.8.8/h"),
            {"taskId": "T", "id": "P", "url": "https://8.8.8.8/h"},
            {"taskId": "T", "id": "P", "url": "https://8.8.8.8/h"},
        ),
        (
            "GetTaskPushNotificationConfig",
            build(pb.GetTaskPushNotificationConfigRequest, taskId="T", id="P"),
            {"taskId": "T", "id": "P"},
            {"id": "T"},
        ),
        (
            "ListTaskPushNotificationConfigs",
            build(pb.ListTaskPushNotificationConfigsRequest, taskId="T", pageSize=2),
            {"taskId": "T", "pageSize": 2},
            {},
        ),
        (
            "DeleteTaskPushNotificationConfig",
            build(pb.DeleteTaskPushNotificationConfigRequest, taskId="T", id="P"),
            {"taskId": "T", "id": "P"},
            {},
        ),
    ],
)
async def test_each_method_reaches_the_agent_and_its_answer_the_client(gateway, agent, name, request_, asked, answered):
    answer = await getattr(gateway.stub, name)(request_)

    params = agent.last["params"]
    if "url" in params:
        assert params["url"].startswith("http://127.0.0.1:8080/a2a/push/")  # the plane relays the notifications
        params = params | {"url": asked["url"]}
    assert (agent.last["method"], params) == (name, asked)
    assert b"3.0" not in agent.bodies[-1]
    shown = MessageToDict(answer)
    assert shown == json.loads(json.dumps(answered).replace("9007199254740993", "9007199254740992"))
    assert gateway.behind.callers.received[-1] == (None, auth_pb2.GATE_A2A, "a2a", TARGET, "")


@pytest.mark.parametrize("name", ["SendStreamingMessage", "SubscribeToTask"])
async def test_a_stream_arrives_event_by_event(gateway, agent, name):
    request = hello() if name == "SendStreamingMessage" else build(pb.SubscribeToTaskRequest, id="T")
    events = [event async for event in getattr(gateway.stub, name)(request)]

    assert [event.WhichOneof("payload") for event in events] == ["task", "status_update"]
    assert events[1].status_update.status.state == pb.TASK_STATE_COMPLETED
    assert agent.last["method"] == name


async def test_an_event_arrives_before_the_next_is_sent(gateway):
    async with serve_agent(EndlessAgent()) as agent:
        gateway.behind.proxy.registry.set_workspace(TARGET, address=agent.url)
        call = gateway.stub.SendStreamingMessage(hello())

        assert (await call.read()).task.id == "T"
        assert agent.sent == 1
        call.cancel()


async def test_a_client_that_cancels_frees_its_call_and_changes_nothing_for_the_agent(gateway):
    async with serve_agent(EndlessAgent()) as agent:
        gateway.behind.proxy.registry.set_workspace(TARGET, address=agent.url)
        call = gateway.stub.SubscribeToTask(build(pb.SubscribeToTaskRequest, id="T"))
        await call.read()
        call.cancel()

        assert await eventually(lambda: gateway.behind.active_calls == 0)
        assert not agent.left.is_set()


async def test_a_client_that_cancels_before_the_answer_ends_the_dispatch(gateway):
    async with serve_agent(WatchedAgent()) as agent:
        gateway.behind.proxy.registry.set_workspace(TARGET, address=agent.url)
        call = gateway.stub.SubscribeToTask(build(pb.SubscribeToTaskRequest, id="T"))
        await agent.asked.wait()
        call.cancel()

        await asyncio.wait_for(agent.left.wait(), 5)
        assert await eventually(lambda: gateway.behind.active_calls == 0)


async def test_the_deadline_of_the_client_is_that_of_the_message(gateway):
    async with serve_agent(WatchedAgent()) as agent:
        gateway.behind.proxy.registry.set_workspace(TARGET, address=agent.url)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gateway.stub.SendStreamingMessage(hello(), timeout=0.5).read()

        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await asyncio.wait_for(agent.left.wait(), 5)
        assert await eventually(lambda: gateway.behind.active_calls == 0)
        metadata = (("x-timeout", "1"),)
        code, _, reason = await get_refusal(gateway.stub.GetTask(build(pb.GetTaskRequest, id="T"), metadata=metadata))
        assert (code, reason) == ("DEADLINE_EXCEEDED", "molecule CALL_DEADLINE_EXCEEDED")


async def test_an_agent_waits_for_a_client_that_reads_slowly(gateway):
    async with serve_agent(EndlessAgent(pause=False)) as agent:
        gateway.behind.proxy.registry.set_workspace(TARGET, address=agent.url)
        call = gateway.stub.SendStreamingMessage(hello())
        await call.read()
        assert await eventually(agent.is_blocked)
        sent = agent.sent

        for _ in range(sent):
            await call.read()
        assert agent.sent > sent
        assert sent * EVENT_BYTES < 32 * MEBIBYTE
        call.cancel()
        assert await eventually(lambda: gateway.behind.active_calls == 0)


@pytest.mark.parametrize(
    ("tenant", "metadata"),
    [
        ("", ()),
        ("acme", ()),
        (f"x/{TARGET}", ()),
        ("", (("x-molecule-workspace", "nobody"),)),
        (f"{TARGET}x", ()),
    ],
)
async def test_a_request_that_names_no_workspace_is_told_how_to(gateway, tenant, metadata):
    for call in (
        gateway.stub.SendMessage(hello(tenant), metadata=metadata),
        gateway.stub.ListTaskPushNotificationConfigs(
            build(pb.ListTaskPushNotificationConfigsRequest, tenant, taskId="T"), metadata=metadata
        ),
    ):
        code, text, reason = await get_refusal(call)

        assert (code, reason) == ("INVALID_ARGUMENT", "a2a-protocol.org INVALID_PARAMS")
        assert "x-molecule-workspace" in text
    assert gateway.behind.callers.received == []


async def test_metadata_may_name_the_workspace_and_the_tenant_is_then_that_of_the_agent(gateway, agent):
    await gateway.stub.SendMessage(hello("acme"), metadata=(("x-molecule-workspace", TARGET),))

    assert agent.last["params"]["tenant"] == "acme"


async def test_the_tenant_of_a_push_config_within_a_message_is_that_of_the_agent(gateway, agent):
    config = {"url": "https://8.8.8.8/h", "tenant": f"{TARGET}/acme"}
    await gateway.stub.SendMessage(hello(configuration={"taskPushNotificationConfig": config}))

    assert agent.last["params"]["configuration"]["taskPushNotificationConfig"]["tenant"] == "acme"


async def test_a_credential_and_extensions_pass_and_a_wrong_credential_is_refused(gateway, agent):
    metadata = (("authorization", "Bearer one"), ("a2a-extensions", "https://e/x"), ("x-request-id", "mine"))
    call = gateway.stub.GetTask(build(pb.GetTaskRequest, id="T"), metadata=metadata)
    await call

    assert gateway.behind.callers.received[-1][0] == "one"
    assert agent.requests[-1].headers["A2A-Extensions"] == "https://e/x"
    answered = dict(await call.initial_metadata())
    assert answered["x-request-id"] == "mine"
    assert float(answered["x-molecule-overhead-ms"]) >= 0

    call = gateway.stub.GetTask(build(pb.GetTaskRequest, id="T"), metadata=(("authorization", "Bearer wrong"),))
    code, text, reason = await get_refusal(call)
    assert (code, text, reason) == ("UNAUTHENTICATED", "invalid caller auth token", "molecule INVALID_BEARER")
    assert dict(await call.trailing_metadata())["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("version", ["0.3", "2.0", "99.0", "x"])
async def test_another_version_is_refused(gateway, agent, version):
    request = build(pb.GetTaskRequest, id="T")
    code, _, reason = await get_refusal(gateway.stub.GetTask(request, metadata=(("a2a-version", version),)))
    assert (code, reason) == ("FAILED_PRECONDITION", "a2a-protocol.org VERSION_NOT_SUPPORTED")

    assert (await gateway.stub.GetTask(request, metadata=(("a2a-version", "1.9"),))).id == "T"


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        ({"code": -32001, "message": "no"}, "NOT_FOUND", "TASK_NOT_FOUND"),
        ({"code": -32002, "message": "no"}, "FAILED_PRECONDITION", "TASK_NOT_CANCELABLE"),
        ({"code": -32005, "message": "no"}, "INVALID_ARGUMENT", "CONTENT_TYPE_NOT_SUPPORTED"),
        ({"code": -32602, "message": "no"}, "INVALID_ARGUMENT", "INVALID_PARAMS"),
        ({"code": -32603, "message": "no"}, "INTERNAL", "INTERNAL_ERROR"),
    ],
)
async def test_an_error_of_the_agent_has_the_status_of_its_code(gateway, error, code, reason):
    text = json.dumps({"jsonrpc": "2.0", "id": 1, "error": error})
    for media_type, body in (("application/json", text), ("text/event-stream", f"data: {text}\n\n")):
        agent = MisbehavingAgent(status=200, text=body, headers={"Content-Type": media_type})
        async with serve_agent(agent):
            gateway.behind.proxy.registry.set_workspace(TARGET, address=agent.url)
            stream = gateway.stub.SendStreamingMessage(hello())
            assert await get_refusal(stream.read()) == (code, "no", f"a2a-protocol.org {reason}")
            if media_type == "application/json":
                call = gateway.stub.GetTask(build(pb.GetTaskRequest, id="T"))
                assert await get_refusal(call) == (code, "no", f"a2a-protocol.org {reason}")


async def test_a_refusal_of_the_plane_has_its_members_as_details(gateway):
    gateway.behind.proxy.registry.set_workspace(TARGET, status=registry_pb2.WORKSPACE_STATUS_REMOVED)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gateway.stub.SendMessage(hello())

    assert read_refusal(caught.value)[::2] == ("NOT_FOUND", "molecule WORKSPACE_REMOVED")
    status, members = Status.FromString(dict(caught.value.trailing_metadata())["grpc-status-details-bin"]), Struct()
    assert status.details[1].Unpack(members)
    assert members["error"] == "workspace removed"


@pytest.mark.parametrize("text", ['{"jsonrpc":"2.0","id":1,"result":{"id":{}}}', "<p>10.0.0.7</p>"])
async def test_an_answer_of_another_form_is_an_error_that_repeats_nothing_of_it(gateway, text):
    async with serve_agent(
        MisbehavingAgent(status=200, text=text, headers={"Content-Type": "application/json"})
    ) as one:
        gateway.behind.proxy.registry.set_workspace(TARGET, address=one.url)
        code, shown, reason = await get_refusal(gateway.stub.GetTask(build(pb.GetTaskRequest, id="T")))

    assert (code, reason) == ("INTERNAL", "a2a-protocol.org INVALID_AGENT_RESPONSE")
    assert "10.0.0.7" not in shown


async def test_an_event_of_another_form_ends_the_stream_and_its_call(gateway):
    async with serve_agent(EndlessAgent(result={"task": {"id": {}}})) as agent:
        gateway.behind.proxy.registry.set_workspace(TARGET, address=agent.url)
        refused = await get_refusal(gateway.stub.SendStreamingMessage(hello()).read())

        assert refused[::2] == ("INTERNAL", "a2a-protocol.org INVALID_AGENT_RESPONSE")
        assert await eventually(lambda: gateway.behind.active_calls == 0)


async def test_an_extended_card_leads_to_the_plane(gateway, agent):
    card = await gateway.stub.GetExtendedAgentCard(build(pb.GetExtendedAgentCardRequest))

    assert card.name == "private"
    *others, last = card.supported_interfaces
    assert {urlsplit(one.url).hostname for one in others} == {"plane.example"}
    assert (last.url, last.protocol_binding, last.protocol_version, last.tenant) == (
        *("grpc.plane.example:443", "GRPC", "1.0", TARGET),
    )
    assert not card.signatures


async def test_agents_of_the_old_version_serve_the_binding(gateway):
    async with serve_agent(LegacyAgent()) as agent:
        interface = registry_pb2.AgentInterface(url=agent.url, binding="JSONRPC", version="0.3")
        gateway.behind.proxy.registry.set_workspace(TARGET, address=agent.url, interfaces=[interface])

        task = (await gateway.stub.SendMessage(hello())).task
        assert (task.status.state, task.artifacts[0].parts[0].text) == (pb.TASK_STATE_COMPLETED, "hi")
        events = [event async for event in gateway.stub.SendStreamingMessage(hello())]
        assert [event.WhichOneof("payload") for event in events] == [
            *("task", "status_update", "artifact_update", "status_update")
        ]


async def test_a_large_message_passes_and_a_larger_one_is_refused(gateway, agent):
    parts = [{"text": "x" * (5 * MEBIBYTE)}]
    await gateway.stub.SendMessage(hello(message={**MESSAGE["message"], "parts": parts}))
    assert agent.last["params"]["message"]["parts"] == parts

    grown = hello()
    grown.message.parts[0].raw = b"x" * (8 * MEBIBYTE)  # a third larger in JSON
    code, _, reason = await get_refusal(gateway.stub.SendMessage(grown))
    assert (code, reason) == ("RESOURCE_EXHAUSTED", "molecule TOO_LARGE")
    grown.message.parts[0].text = "x" * (11 * MEBIBYTE)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gateway.stub.SendMessage(grown)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await eventually(lambda: gateway.behind.active_calls == 0)


async def test_messages_that_are_not_valid_are_refused(gateway, agent):
    send = gateway.channel.unary_unary("/lf.a2a.v1.A2AService/SendMessage")
    values = hello()
    values.message.reference_task_ids.extend([""] * 100_001)
    not_finite = hello()
    not_finite.metadata["x"] = float("nan")
    for message in (b"\xff", b"\x0a\xff", hello().SerializeToString() + b"\x12\x02\xff\xff"):
        code, _, reason = await get_refusal(send(message))
        assert (code, reason) == ("INVALID_ARGUMENT", "a2a-protocol.org INVALID_REQUEST")
    for request in (values, not_finite):
        code, _, reason = await get_refusal(gateway.stub.SendMessage(request))
        assert (code, reason) == ("INVALID_ARGUMENT", "a2a-protocol.org INVALID_REQUEST")
    nothing = gateway.channel.stream_unary("/lf.a2a.v1.A2AService/SendMessage")
    assert (await get_refusal(nothing(iter(()))))[0] == "INVALID_ARGUMENT"
    other = gateway.channel.unary_unary("/lf.a2a.v1.A2AService/Other")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await other(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert agent.requests == []


async def test_a_client_of_an_earlier_version_learns_what_to_do(gateway, agent):
    stub = LegacyStub(gateway.channel)
    for call in (stub.SendMessage(legacy_pb.SendMessageRequest()), stub.GetAgentCard(legacy_pb.GetAgentCardRequest())):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert "use JSON-RPC or HTTP+JSON" in caught.value.details()
    with pytest.raises(grpc.aio.AioRpcError, match="use JSON-RPC or HTTP"):
        await anext(aiter(stub.TaskSubscription(legacy_pb.TaskSubscriptionRequest(name="tasks/T"))))
    assert agent.requests == []


async def test_a_compressed_message_has_the_limit_of_its_whole_size(gateway, agent):
    await gateway.stub.SendMessage(hello(), compression=grpc.Compression.Gzip)
    assert len(agent.requests) == 1

    grown = hello(message={**MESSAGE["message"], "parts": [{"text": "x" * (64 * MEBIBYTE)}]})
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gateway.stub.SendMessage(grown, compression=grpc.Compression.Gzip)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(agent.requests) == 1


async def test_requests_are_limited_like_those_of_http(behind, agent):
    async with serve_rpc(behind, rates=RateLimiter(20)) as gateway:
        large = hello(message={**MESSAGE["message"], "parts": [{"text": "x" * (5 * MEBIBYTE)}]})
        await gateway.stub.SendMessage(hello())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gateway.stub.SendMessage(large)

        assert read_refusal(caught.value)[::2] == ("RESOURCE_EXHAUSTED", "molecule TOO_OFTEN")
        trailing = dict(caught.value.trailing_metadata())
        assert (trailing["x-ratelimit-limit"], int(trailing["retry-after"]) > 0) == ("20", True)
        assert len(agent.requests) == 1


async def test_a_client_has_a_limited_number_of_calls(behind):
    async with serve_agent(EndlessAgent()) as agent, serve_rpc(behind, max_calls=1) as gateway:
        behind.proxy.registry.set_workspace(TARGET, address=agent.url)
        first = gateway.stub.SendStreamingMessage(hello())
        await first.read()
        code, text, _ = await get_refusal(gateway.stub.SendStreamingMessage(hello()).read())
        assert (code, text) == ("RESOURCE_EXHAUSTED", "too many concurrent calls")

        first.cancel()
        assert await eventually(lambda: behind.active_calls == 0)
        second = gateway.stub.SendStreamingMessage(hello())
        assert (await second.read()).task.id == "T"
        second.cancel()


async def test_a_reserved_caller_is_refused(gateway):
    call = gateway.stub.SendMessage(hello(), metadata=(("x-workspace-id", "system:x"),))

    assert (await get_refusal(call))[::2] == ("PERMISSION_DENIED", "molecule RESERVED_CALLER")
