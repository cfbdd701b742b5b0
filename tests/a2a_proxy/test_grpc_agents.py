"""Callers of JSON-RPC and agents that offer gRPC only, through the whole proxy."""

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from socket import AF_INET

import grpc
import pytest
from a2a.server.request_handlers.grpc_handler import GrpcHandler
from a2a.types import a2a_pb2 as pb
from a2a.types.a2a_pb2_grpc import A2AServiceServicer, add_A2AServiceServicer_to_server
from aiohttp.abc import AbstractResolver
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from protos.a2a_proxy.v1.a2a_proxy_pb2 import CallCancel, CallFrame
from protos.registry.v1.registry_pb2 import AgentInterface
from services.a2a_proxy.agent_client import MAX_ANSWER_BYTES, AgentClient
from services.a2a_proxy.model import DispatchFailure, Fault, Push, SendState
from services.chassis.addresses import AddressRules
from tests.a2a_proxy.fake_gateway import TARGET, decode_details
from tests.a2a_proxy.test_agent_client import always_heard, build_dispatch
from tests.a2a_proxy.test_conversion import ask, current_message, legacy_message, read_events, request
from tests.agents import EchoAgent, serve_agent
from tests.molecule_a2a.rest.binding import build_handler


@asynccontextmanager
async def serve_rpcs(servicer, *, handlers=(), **options):
    server = grpc.aio.server(**options)
    server.add_generic_rpc_handlers(handlers)
    if servicer is not None:
        add_A2AServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


def offer(proxy, address: str, tenant: str = "", *, external: bool = False) -> None:
    interface = AgentInterface(url=address, binding="GRPC", version="1.0", tenant=tenant)
    proxy.registry.set_workspace(TARGET, address=f"http://{address}", external=external, interfaces=[interface])


@pytest.fixture
async def address(proxy):
    """The address of an agent of the official SDK."""
    async with serve_rpcs(GrpcHandler(build_handler())) as address:
        offer(proxy, address)
        yield address


class ScriptedAgent(A2AServiceServicer):
    """Answers a task and a stream that does not end, and records what it receives."""

    def __init__(self):
        self.received = []
        self.metadata = {}
        self.left = asyncio.Event()
        self.task = pb.Task(id="T", status=pb.TaskStatus(state=pb.TASK_STATE_WORKING))
        self.task.metadata.update({"a": 3, "b": 1.5})

    async def GetTask(self, request, context):
        self.received.append(request)
        self.metadata = dict(context.invocation_metadata())
        return self.task

    async def SendStreamingMessage(self, request, context):
        try:
            yield pb.StreamResponse(task=self.task)
            await asyncio.Event().wait()
        finally:
            self.left.set()


async def test_callers_of_both_versions_send_read_and_cancel_a_task(proxy, gateway, address):
    sent = (await ask(gateway, current_message("wait please")))["result"]["task"]
    read = (await ask(gateway, request("GetTask", {"id": sent["id"], "historyLength": 0})))["result"]
    listed = (await ask(gateway, request("ListTasks", {})))["result"]
    legacy = (await ask(gateway, request("tasks/get", {"id": sent["id"]})))["result"]
    cancelled = (await ask(gateway, request("CancelTask", {"id": sent["id"]})))["result"]
    missing = (await ask(gateway, request("GetTask", {"id": "no such task"})))["error"]

    assert sent["status"]["state"] == read["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
    assert read["artifacts"][0]["parts"] == [{"text": "wait please"}]
    assert "history" not in read
    assert [one["id"] for one in listed["tasks"]] == [sent["id"]]
    assert (legacy["kind"], legacy["status"]["state"]) == ("task", "input-required")
    assert cancelled["status"]["state"] == "TASK_STATE_CANCELED"
    assert (missing["code"], missing["data"][0]["reason"]) == (-32001, "TASK_NOT_FOUND")


@pytest.mark.parametrize(
    "body", [legacy_message("hello", "message/stream"), current_message("hello", "SendStreamingMessage")]
)
async def test_a_stream_ends_with_the_completed_task(gateway, address, body):
    events = [event["result"] for event in await read_events(gateway, body)]

    states = [(event.get("statusUpdate") or event).get("status", {}).get("state") for event in events]
    assert states[-1] in {"completed", "TASK_STATE_COMPLETED"}
    assert "hello" in json.dumps(events)


async def test_an_error_instead_of_a_stream_is_that_of_the_agent(gateway, address):
    error = (await ask(gateway, request("SubscribeToTask", {"id": "none"})))["error"]

    assert error["code"] == -32001


async def test_the_agent_receives_the_headers_and_the_tenant_and_numbers_stay_whole(proxy, gateway):
    agent = ScriptedAgent()
    async with serve_rpcs(agent) as address:
        offer(proxy, address, tenant="acme")
        found = (await ask(gateway, request("GetTask", {"id": "T"})))["result"]

    assert found["metadata"] == {"a": 3, "b": 1.5}
    assert isinstance(found["metadata"]["a"], int)
    assert (agent.received[0].tenant, agent.metadata["a2a-version"]) == ("acme", "1.0")
    assert agent.metadata["x-molecule-hops"] == "1"


async def test_params_of_another_form_are_refused_before_anything_is_sent(proxy, gateway):
    agent = ScriptedAgent()
    async with serve_rpcs(agent) as address:
        offer(proxy, address)
        error = (await ask(gateway, request("GetTask", {"id": "T", "historyLength": "many"})))["error"]

    assert (error["code"], agent.received) == (-32602, [])


async def test_an_agent_that_is_away_was_sent_nothing(proxy, gateway):
    for server in (None, EchoAgent()):
        async with serve_agent(server) if server else nobody() as agent:
            offer(proxy, agent.url.removeprefix("http://").rstrip("/"), external=True)
            refused = (
                await gateway.send_message(current_message("hello"), headers={"prefer": "handling=strict"})
            ).refused
        assert (refused.reason, decode_details(refused).get("delivery_confirmed", False)) == (
            "AGENT_UNREACHABLE",
            False,
        )


async def test_a_caller_that_leaves_changes_nothing_for_its_agent(proxy, gateway):
    agent = ScriptedAgent()
    async with serve_rpcs(agent) as address:
        offer(proxy, address)
        await gateway.open(7, current_message("hello", "SendStreamingMessage"))
        assert not (await gateway.next(7)).head.complete
        await gateway.send(CallFrame(call_id=7, cancel=CallCancel()))
        await gateway.open(8, request("GetTask", {"id": "T"}))

        await gateway.next(8)
        assert not agent.left.is_set()


async def test_a_stream_whose_connection_breaks_is_interrupted(proxy, gateway):
    async with serve_rpcs(ScriptedAgent()) as address:
        offer(proxy, address)
        await gateway.open(7, current_message("hello", "SendStreamingMessage"))
        assert not (await gateway.next(7)).head.complete
    while not (frame := await gateway.next(7)).HasField("end"):
        pass

    assert frame.end.interrupted


async def test_an_error_within_a_stream_is_its_last_event(proxy, gateway):
    class FailingAgent(ScriptedAgent):
        async def SendStreamingMessage(self, request, context):
            yield pb.StreamResponse(task=self.task)
            status = Status(code=5, message="no task")
            status.details.add().Pack(ErrorInfo(reason="TASK_NOT_FOUND", domain="a2a-protocol.org"))
            trailing = (("grpc-status-details-bin", status.SerializeToString()),)
            await context.abort(grpc.StatusCode.NOT_FOUND, "no task", trailing_metadata=trailing)

    async with serve_rpcs(FailingAgent()) as address:
        offer(proxy, address)
        first, last = await read_events(gateway, current_message("hello", "SendStreamingMessage"))

    assert first["result"]["task"]["id"] == "T"
    assert (last["error"]["code"], last["error"]["message"]) == (-32001, "no task")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (lambda context: context.abort(grpc.StatusCode.NOT_FOUND, "no"), "TASK_NOT_FOUND"),
        (lambda context: context.abort(grpc.StatusCode.INTERNAL, "no"), "INTERNAL_ERROR"),
        (lambda context: context.abort(grpc.StatusCode.UNIMPLEMENTED, "no"), "UNSUPPORTED_OPERATION"),
    ],
)
async def test_an_error_without_details_has_the_code_of_its_status(proxy, gateway, reply, reason):
    class RefusingAgent(A2AServiceServicer):
        async def GetTask(self, request, context):
            await reply(context)

    async with serve_rpcs(RefusingAgent()) as address:
        offer(proxy, address)
        error = (await ask(gateway, request("GetTask", {"id": "T"})))["error"]

    assert (error["message"], error["data"][0]["reason"]) == ("no", reason)


async def test_an_empty_list_has_the_members_that_1_0_requires(proxy, gateway):
    class EmptyAgent(A2AServiceServicer):
        async def ListTasks(self, request, context):
            return pb.ListTasksResponse()

    async with serve_rpcs(EmptyAgent()) as address:
        offer(proxy, address)
        listed = (await ask(gateway, request("ListTasks", {})))["result"]

    assert listed == {"tasks": [], "nextPageToken": "", "pageSize": 0, "totalSize": 0}


async def test_a_method_that_a2a_does_not_have_is_refused_and_nothing_is_sent(proxy, gateway):
    offer(proxy, "127.0.0.1:9")

    error = (await ask(gateway, request("vendor/method", {}), version="1.0"))["error"]

    assert (error["code"], error["data"][0]["reason"]) == (-32601, "METHOD_NOT_FOUND")


async def test_an_answer_that_is_no_message_is_an_error(proxy, gateway):
    class Garbage(grpc.GenericRpcHandler):
        def service(self, _):
            return grpc.unary_unary_rpc_method_handler(self.answer)

        async def answer(self, request, context):
            return b"\xff\xff"

    async with serve_rpcs(None, handlers=(Garbage(),)) as address:
        offer(proxy, address)
        error = (await ask(gateway, request("CancelTask", {"id": "T"})))["error"]

    assert (error["code"], error["data"][0]["reason"]) == (-32006, "INVALID_AGENT_RESPONSE")


async def test_an_answer_of_too_many_values_is_an_error(proxy, gateway):
    agent = ScriptedAgent()
    agent.task.history.extend([pb.Message()] * 100_001)
    async with serve_rpcs(agent) as address:
        offer(proxy, address)
        error = (await ask(gateway, request("GetTask", {"id": "T"})))["error"]

    assert (error["code"], error["data"][0]["reason"]) == (-32006, "INVALID_AGENT_RESPONSE")


async def test_an_answer_over_the_limit_is_not_read_though_it_is_compressed():
    agent = ScriptedAgent()
    agent.task.id = "x" * (MAX_ANSWER_BYTES + 1)
    async with (
        serve_rpcs(agent, compression=grpc.Compression.Gzip) as address,
        AgentClient(rules=AddressRules(development=True)) as agents,
    ):
        dispatch = replace(build_dispatch(f"http://{address}", body=b'{"id":"T"}'), rpc="GetTask")
        assert await agents.send(dispatch, always_heard) == DispatchFailure(Fault.UNREADABLE, SendState.UNKNOWN)


@pytest.mark.parametrize("host", ["127.0.0.1", "agent.example", "[::ffff:169.254.169.254]"])
async def test_what_is_connected_to_is_checked(host):
    """The name resolves to loopback, where an agent listens that production refuses."""
    agent = ScriptedAgent()
    async with (
        serve_rpcs(agent) as address,
        AgentClient(rules=AddressRules(), resolver=LoopbackResolver()) as agents,
    ):
        url = f"http://{host}:{address.rpartition(':')[2]}"
        dispatch = replace(build_dispatch(url, trusted=False, body=b'{"id":"T"}'), rpc="GetTask")
        refused = await agents.send(dispatch, always_heard)
        trusted = replace(dispatch, push=Push(f"http://agent.example:{address.rpartition(':')[2]}", trusted=True))
        answer = await agents.send(trusted, always_heard)

    assert refused == DispatchFailure(Fault.ADDRESS_REFUSED, SendState.NOT_SENT)
    assert (answer.status, len(agent.received)) == (200, 1)


class LoopbackResolver(AbstractResolver):
    """Resolves each name to loopback."""

    async def resolve(self, host, port=0, family=AF_INET):
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": AF_INET, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        pass


@dataclass
class Nobody:
    url: str


@asynccontextmanager
async def nobody():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        found = Nobody(f"http://127.0.0.1:{probe.getsockname()[1]}")
    yield found
