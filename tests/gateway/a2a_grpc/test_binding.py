"""The gRPC binding in front of a whole A2A proxy, whose agents speak JSON-RPC 1.0."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
import pytest
from a2a.types import a2a_pb2 as pb
from a2a.types.a2a_pb2_grpc import A2AServiceStub
from google.protobuf.json_format import MessageToDict, ParseDict
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from gateway.a2a_grpc.app import RpcApp
from gateway.a2a_grpc.server import A2aService, run_grpc_server
from gateway.cors import CorsPolicy
from gateway.hosts import HostPolicy
from gateway.limits import RateLimiter
from gateway.metrics import RequestMetrics
from gateway.middleware import RequestMiddleware
from gateway.proxy_headers import ProxyHeaders
from gateway.routes.a2a_rest import RestApp
from protos.auth.v1 import auth_pb2
from tests.a2a_proxy.dialect_agents import LegacyAgent
from tests.agents import serve_agent
from tests.gateway.gateway_with_proxy import (
    MEBIBYTE,
    TARGET,
    GatewayWithProxy,
    elsewhere,
    run_gateway_with_proxy,
)
from tests.gateway.test_a2a_rest import CARD, TASK, CurrentAgent
from tests.waiting import eventually

MESSAGE = {"message": {"messageId": "m-1", "contextId": "C", "role": "ROLE_USER", "parts": [{"text": "hi"}]}}


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
        run_grpc_server(service, "127.0.0.1:0", shutdown_seconds=1) as port,
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

    assert agent.last["method"] == name
    assert agent.last["params"] == asked
    assert b"3.0" not in agent.bodies[-1]
    shown = MessageToDict(answer)
    assert shown == json.loads(json.dumps(answered).replace("9007199254740993", "9007199254740992"))
    assert gateway.behind.callers.received[-1] == (None, auth_pb2.GATE_A2A, "a2a", TARGET, "")
