import asyncio
from contextlib import AsyncExitStack
from uuid import uuid4

import aiohttp
import grpc
import pytest
from structlog.testing import capture_logs

from protos.a2a_proxy.v1 import a2a_proxy_pb2 as pb
from protos.a2a_proxy.v1 import a2a_proxy_pb2_grpc as rpc
from services.a2a_proxy import exchange
from services.a2a_proxy.waiting_call import WINDOW_BYTES
from services.chassis import clients, identity
from services.chassis.errors import Code
from services.chassis.identity import Identity, Kind
from tests.a2a_proxy.fake_gateway import (
    A_WORKSPACE,
    CALLER,
    TARGET,
    decode_details,
    message_body,
    open_exchange,
)
from tests.a2a_proxy.running_proxy import run_proxy
from tests.agents import DisconnectingAgent, EchoAgent, SlowAgent, serve_agent
from tests.waiting import eventually


async def test_calls_of_one_exchange_run_concurrently(proxy, gateway):
    other = str(uuid4())
    async with serve_agent(SlowAgent()) as slow, serve_agent(EchoAgent()) as quick:
        proxy.registry.set_workspace(TARGET, address=slow.url)
        proxy.registry.set_workspace(other, address=quick.url)

        await gateway.open(1, message_body())
        await slow.asked.wait()
        await gateway.open(2, message_body(), target=other)

        assert (await gateway.next(2)).head.complete
        slow.go.set()
        assert (await gateway.next(1)).head.complete


@pytest.mark.parametrize("sender", [Identity(kind=Kind.SERVICE, name="gateway"), None])
async def test_a_call_without_an_identity_of_its_own_is_refused(proxy, gateway, sender):
    opening = pb.CallOpen(workspace_id=TARGET, body=message_body())
    if sender is not None:
        opening.identity.CopyFrom(identity.to_wire(sender))

    await gateway.send(pb.CallFrame(call_id=1, open=opening))

    assert (await gateway.next(1)).refused.code == Code.UNAUTHENTICATED


async def test_only_the_gateway_may_exchange(proxy):
    async with clients.open_channel(proxy.address, caller_service="registry") as channel:
        stream = rpc.A2aProxyServiceStub(channel.channel).Exchange(metadata=channel.build_metadata(None))
        assert "access denied" in str(await stream.details())


async def test_a_stopping_proxy_finishes_its_calls_and_refuses_new_ones(database_url):
    async with serve_agent(SlowAgent()) as agent, AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(run_proxy(database_url))
        gateway = await stack.enter_async_context(open_exchange(proxy))
        proxy.registry.set_workspace(TARGET, address=agent.url)
        await gateway.open(1, message_body())
        await agent.asked.wait()

        stopping = asyncio.ensure_future(proxy.stopped.wait())
        proxy.stop.set()
        assert await eventually(lambda: gateway.last_call)
        await gateway.open(2, message_body())
        late = (await gateway.next(2)).refused
        agent.go.set()

        assert (late.reason, decode_details(late)) == ("PLATFORM_UNAVAILABLE", {"delivery": "not_sent"})
        assert (await gateway.next(1)).head.status == 200
        await asyncio.wait_for(stopping, 4)
        assert len(await proxy.list_activities(TARGET)) == 1


async def take_next(gateway) -> pb.ReplyFrame:
    """Acknowledge a whole window, and return the next frame."""
    await gateway.send(pb.CallFrame(call_id=1, credit=pb.CallCredit(bytes=WINDOW_BYTES)))
    return await gateway.next(1)


class FloodingAgent(EchoAgent):
    """Streams much more than the window at once."""

    size = 8 * WINDOW_BYTES

    async def stream(self, request, message):
        response = aiohttp.web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: " + b"x" * (self.size - 8) + b"\n\n")
        return response


class PausingAgent(EchoAgent):
    """Streams one event, and another one once a test sets `go`."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()

    async def stream(self, request, message):
        response = aiohttp.web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b'data: {"a":1}\n\n')
        await self.go.wait()
        await response.write(b'data: {"a":2}\n\n')
        return response


class HesitatingAgent(PausingAgent):
    """Begins a stream, and sends its only event once a test sets `go`."""

    async def stream(self, request, message):
        response = aiohttp.web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await self.go.wait()
        await response.write(b'data: {"a":1}\n\n')
        return response


async def test_the_head_of_a_stream_travels_with_its_first_event(proxy, gateway, monkeypatch):
    monkeypatch.setattr(exchange, "HEAD_DELAY_SECONDS", 60)
    async with serve_agent(PausingAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)

        await gateway.open(1, message_body("message/stream"))
        await gateway.next(1)

        assert gateway.messages == [["head", "chunk"]]
        agent.go.set()


async def test_the_head_of_a_stream_does_not_wait_for_a_late_event(proxy, gateway):
    async with serve_agent(HesitatingAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)

        await gateway.open(1, message_body("message/stream"))

        assert (await gateway.next(1)).head.status == 200
        agent.go.set()
        assert (await gateway.next(1)).HasField("chunk")


async def find_rows(proxy, count: int) -> list:
    """Return the rows of the target, that of the stream first, once there are as many."""
    rows = await proxy.list_activities(TARGET)
    return sorted(rows, key=lambda row: row.method != "message/stream") if len(rows) == count else []


async def test_a_slow_client_delays_only_its_own_stream(proxy, gateway):
    async with serve_agent(FloodingAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        await gateway.open(1, message_body("message/stream"))
        assert not (await gateway.next(1)).head.complete
        received = 0  # with the id of the event
        while received < WINDOW_BYTES // 2:
            received += len((await gateway.next(1)).chunk)

        assert (await gateway.send_message(message_body())).head.complete  # so every earlier frame has arrived
        while gateway.count_frames(1):
            received += len((await gateway.next(1)).chunk)
        assert received <= WINDOW_BYTES

        while not (frame := await take_next(gateway)).HasField("end"):
            received += len(frame.chunk)
        assert received > FloodingAgent.size


@pytest.mark.covers("BEY-02")
async def test_a_cancelled_call_does_not_end_the_stream_of_the_agent(proxy, gateway):
    async with serve_agent(PausingAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url, max_concurrent_tasks=2)
        await gateway.open(1, message_body("message/stream"))
        await gateway.next(1)
        await gateway.next(1)

        await gateway.send(pb.CallFrame(call_id=1, cancel=pb.CallCancel()))
        assert (await gateway.send_message(message_body())).head.complete  # so the proxy has read the cancellation
        agent.go.set()

        row, _ = await eventually(lambda: find_rows(proxy, 2))
        assert (row.status, row.response_body) == ("ok", '{"a":2}')


async def test_a_cancelled_call_does_not_stop_a_message(proxy, gateway):
    async with serve_agent(SlowAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        await gateway.open(1, message_body())
        await agent.asked.wait()

        await gateway.send(pb.CallFrame(call_id=1, cancel=pb.CallCancel()))
        agent.go.set()

        (row,) = await eventually(lambda: proxy.list_activities(TARGET))
        assert row.status == "ok"


async def test_a_closed_exchange_stops_neither_streams_nor_messages(proxy):
    async with serve_agent(SlowAgent()) as slow, serve_agent(PausingAgent()) as pausing:
        other = str(uuid4())
        proxy.registry.set_workspace(TARGET, address=slow.url)
        proxy.registry.set_workspace(other, address=pausing.url)
        async with open_exchange(proxy) as gateway:
            await gateway.open(1, message_body())
            await gateway.open(2, message_body("message/stream"), target=other)
            await gateway.next(2)
            await slow.asked.wait()

        slow.go.set()
        (row,) = await eventually(lambda: proxy.list_activities(TARGET))
        assert row.status == "ok"
        pausing.go.set()
        (row,) = await eventually(lambda: proxy.list_activities(other))
        assert (row.status, row.response_body) == ("ok", '{"a":2}')


async def test_an_interrupted_stream_ends_as_interrupted(proxy, gateway):
    async with serve_agent(DisconnectingAgent(moment="stream")) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        await gateway.open(1, message_body("message/stream"))

        assert (await gateway.next(1)).HasField("head")
        assert (await gateway.next(1)).end.interrupted  # an event that has not ended is not passed on
        (row,) = await eventually(lambda: proxy.list_activities(TARGET))
        assert (row.status, row.error_detail) == ("error", "upstream stream interrupted")


@pytest.mark.covers("TXT-10")
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, None, None), "StatusCode.UNAVAILABLE"),
        (grpc.RpcError(), "StatusCode.UNKNOWN"),
    ],
)
async def test_the_log_of_a_broken_exchange_has_its_code(error, code):
    async def requests():
        raise error
        yield pb.ExchangeRequest()

    broken = exchange.Exchange(None, None, budgets=None, on_request=None)
    with capture_logs() as logs:
        await broken.read(requests())

    assert logs == [{"event": "exchange broken", "code": code, "log_level": "info"}]


@pytest.mark.covers("A2A-10")
@pytest.mark.parametrize(
    ("sender", "source"),
    [
        (A_WORKSPACE, CALLER),
        (Identity(kind=Kind.ORG, name=CALLER), None),
        (Identity(kind=Kind.ANONYMOUS), None),
    ],
    ids=["a workspace token", "an org token", "a bearer of nobody"],
)
async def test_the_source_of_a_message_is_derived_from_a_workspace_token_only(proxy, gateway, sender, source):
    async with serve_agent(EchoAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        proxy.registry.set_workspace(CALLER)

        assert (await gateway.send_message(message_body(), sender=sender)).head.status == 200

        [row] = await eventually(lambda: proxy.list_activities(TARGET))
        assert row.source_id == source
