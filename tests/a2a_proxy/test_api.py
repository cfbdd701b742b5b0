import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from uuid import uuid4

import aiohttp
import pytest

from protos.a2a_proxy.v1 import a2a_proxy_pb2 as pb
from protos.a2a_proxy.v1 import a2a_proxy_pb2_grpc as rpc
from protos.a2a_proxy.v1 import activity_pb2, activity_pb2_grpc
from protos.provisioner.v1 import provisioner_pb2
from protos.registry.v1 import registry_pb2
from services.a2a_proxy import api
from services.chassis import clients, identity
from services.chassis.errors import Code, InvalidArgument, NotFound, PermissionDenied, Unauthenticated
from services.chassis.identity import Identity, Kind
from tests.a2a_proxy.offices import Office, open_office
from tests.agents import BusyAgent, DyingAgent, EchoAgent, RudeAgent, SilentAgent, SlowAgent, serving
from tests.waiting import eventually

TARGET = str(uuid4())
CALLER = str(uuid4())
ADMIN = Identity(kind=Kind.ADMIN)
A_WORKSPACE = Identity(kind=Kind.WORKSPACE, name=CALLER, generation=1)


def hello(method: str = "message/send", **params) -> bytes:
    message = {"messageId": "m-1", "parts": [{"kind": "text", "text": "hi"}]}
    return json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": {"message": message, **params}}).encode()


class Gateway:
    """The other end of an exchange, one frame at a time."""

    def __init__(self, stream) -> None:
        self._stream = stream
        self._waiting: dict[int, asyncio.Queue] = {}
        self.last_call = False

    async def read(self) -> None:
        async for message in self._stream:
            self.last_call = self.last_call or message.last_call
            for frame in message.frames:
                self._queue(frame.call_id).put_nowait(frame)

    async def send(self, *frames: pb.CallFrame) -> None:
        await self._stream.write(pb.ExchangeRequest(frames=frames))

    async def open(self, call_id: int, body: bytes, *, sender: Identity = ADMIN, target: str = TARGET, **fields):
        opening = pb.CallOpen(identity=identity.to_wire(sender), workspace_id=target, body=body, **fields)
        await self.send(pb.CallFrame(call_id=call_id, open=opening))

    async def next(self, call_id: int) -> pb.ReplyFrame:
        return await asyncio.wait_for(self._queue(call_id).get(), 10)

    async def ask(self, body: bytes, **options) -> pb.ReplyFrame:
        """The first frame that answers a call of its own."""
        await self.open(99, body, **options)
        return await self.next(99)

    def heard(self, call_id: int) -> int:
        return self._queue(call_id).qsize()

    def _queue(self, call_id: int) -> asyncio.Queue:
        return self._waiting.setdefault(call_id, asyncio.Queue())


@asynccontextmanager
async def exchanging(office: Office, *, speaker: str = "gateway") -> AsyncIterator[Gateway]:
    async with clients.open_channel(office.address, speaker=speaker) as line:
        stream = rpc.A2aProxyServiceStub(line.channel).Exchange(metadata=line.metadata(None))
        await stream.wait_for_connection()
        gateway = Gateway(stream)
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(gateway.read())
            yield gateway
            reading.cancel()


@pytest.fixture
async def office(database_url: str) -> AsyncIterator[Office]:
    async with open_office(database_url) as office:
        yield office


@pytest.fixture
async def gateway(office: Office) -> AsyncIterator[Gateway]:
    async with exchanging(office) as gateway:
        yield gateway


def details(refused: pb.CallRefused) -> dict:
    return {name: json.loads(text) for name, text in refused.details.items()}


# The straight road ───────────────────────────────────────────────────────────


@pytest.mark.covers("A2A-11")
async def test_a_message_reaches_its_agent_and_the_log(office, gateway):
    async with serving(EchoAgent()) as agent:
        office.book.write(TARGET, address=agent.url)
        office.book.write(CALLER)

        head = (await gateway.ask(hello(), sender=A_WORKSPACE, request_id="r-1")).head

        assert (head.status, head.complete) == (200, True)
        assert json.loads(head.body)["id"] == 7
        assert head.agent_micros > 0
        assert agent.bodies == [hello()]
        assert agent.requests[0].headers["x-request-id"] == "r-1"
        (row,) = await eventually(lambda: office.log(TARGET))
        assert (row.activity_type, row.source_id, row.target_id) == ("a2a_receive", CALLER, TARGET)
        assert (row.method, row.status) == ("message/send", "ok")
        assert row.request_body == hello().decode()
        assert row.response_body == head.body.decode()


async def test_a_caller_that_is_no_workspace_leaves_no_source(office, gateway):
    async with serving(EchoAgent()) as agent:
        office.book.write(TARGET, address=agent.url)

        await gateway.ask(hello(), sender=Identity(kind=Kind.ANONYMOUS))

        (row,) = await eventually(lambda: office.log(TARGET))
        assert row.source_id is None


async def test_headers_travel_and_credentials_do_not(office, gateway):
    async with serving(EchoAgent()) as agent:
        office.book.write(TARGET, address=agent.url)
        headers = {"a2a-extensions": "x", "authorization": "Bearer secret", "cookie": "a=b", "prefer": "wait"}

        await gateway.ask(hello("SendMessage"), headers=headers)

        sent = agent.requests[0].headers
        assert (sent["a2a-extensions"], sent["a2a-version"]) == ("x", "1.0")
        assert not {"Authorization", "Cookie", "Prefer"} & set(sent)


async def test_calls_do_not_wait_for_one_another(office, gateway):
    other = str(uuid4())
    async with serving(SlowAgent()) as slow, serving(EchoAgent()) as quick:
        office.book.write(TARGET, address=slow.url)
        office.book.write(other, address=quick.url)

        await gateway.open(1, hello())
        await slow.asked.wait()
        await gateway.open(2, hello(), target=other)

        assert (await gateway.next(2)).head.complete
        slow.go.set()
        assert (await gateway.next(1)).head.complete


async def test_the_log_is_committed_before_the_answer_where_it_is_not_written_behind(database_url):
    async with (
        open_office(database_url, activity_delay=timedelta()) as office,
        exchanging(office) as gateway,
        serving(EchoAgent()) as agent,
    ):
        office.book.write(TARGET, address=agent.url)

        await gateway.ask(hello())

        assert len(await office.log(TARGET)) == 1


# What is refused ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("sender", [Identity(kind=Kind.SERVICE, name="gateway"), None])
async def test_a_call_without_an_identity_of_its_own_is_refused(office, gateway, sender):
    opening = pb.CallOpen(workspace_id=TARGET, body=hello())
    if sender is not None:
        opening.identity.CopyFrom(identity.to_wire(sender))

    await gateway.send(pb.CallFrame(call_id=1, open=opening))

    assert (await gateway.next(1)).refused.code == Code.UNAUTHENTICATED


async def test_only_the_gateway_may_exchange(office):
    async with clients.open_channel(office.address, speaker="registry") as line:
        stream = rpc.A2aProxyServiceStub(line.channel).Exchange(metadata=line.metadata(None))
        assert "access denied" in str(await stream.details())


async def test_a_stranger_is_refused_whether_the_target_exists_or_not(office, gateway):
    office.book.write(TARGET, address="http://127.0.0.1:1/")
    office.book.denied.add((CALLER, TARGET))

    known = (await gateway.ask(hello(), sender=A_WORKSPACE)).refused
    unknown = (await gateway.ask(hello(), sender=A_WORKSPACE, target=str(uuid4()))).refused

    assert known == unknown
    assert known.reason == "COMMUNICATION_DENIED"


async def test_unknown_and_removed_targets_are_told_apart_from_those_that_may_know(office, gateway):
    office.book.write(TARGET, status=registry_pb2.WORKSPACE_STATUS_REMOVED)

    assert (await gateway.ask(hello())).refused.reason == "WORKSPACE_REMOVED"
    assert (await gateway.ask(hello(), target=str(uuid4()))).refused.reason == "WORKSPACE_NOT_FOUND"


@pytest.mark.covers("A2A-01")
async def test_of_two_faults_the_earlier_is_told(office, gateway):
    office.book.write(TARGET, address="http://169.254.169.254/", address_trusted=False, budget_limit=1, monthly_spend=1)
    assert (await gateway.ask(b"nonsense", timeout="x")).refused.reason == "BUDGET_EXCEEDED"

    office.book.write(TARGET, budget_limit=2)
    malformed = await eventually(lambda: _unless(gateway.ask(b"nonsense"), "BUDGET_EXCEEDED"))
    assert malformed.reason == "MALFORMED_MESSAGE"
    assert details(malformed)["error"]["code"] == -32700
    assert (await gateway.ask(hello())).refused.reason == "ADDRESS_REFUSED"

    office.book.write(TARGET, delivery_mode=registry_pb2.DELIVERY_MODE_POLL)
    await eventually(lambda: _unless(gateway.ask(hello()), "ADDRESS_REFUSED"))


async def _unless(asking, reason: str):
    """The refusal, or the frame where there is none; nothing as long as it has this reason."""
    frame = await asking
    return None if frame.refused.reason == reason else frame.refused if frame.HasField("refused") else frame


@pytest.mark.covers("A2A-06", "A2A-07")
@pytest.mark.parametrize("body", [b"", b"[]", b'{"jsonrpc":"2.0","method":"message/send","params":{"message":{}}}'])
async def test_a_malformed_message_reaches_nobody_and_leaves_no_row(office, gateway, body):
    async with serving(EchoAgent()) as agent:
        office.book.write(TARGET, address=agent.url)

        assert (await gateway.ask(body)).refused.reason == "MALFORMED_MESSAGE"

        await gateway.ask(hello())
        rows = await eventually(lambda: office.log(TARGET))
        assert len(agent.bodies) == len(rows) == 1


@pytest.mark.covers("A2A-15")
async def test_an_unsafe_address_is_refused_without_a_row(office, gateway):
    office.book.write(TARGET, address="http://169.254.169.254/", address_trusted=False)

    refused = (await gateway.ask(hello())).refused

    assert (refused.reason, refused.message) == ("ADDRESS_REFUSED", "workspace URL is not publicly routable")
    assert await office.log(TARGET) == []


# Side roads ──────────────────────────────────────────────────────────────────


@pytest.mark.covers("A2A-13")
@pytest.mark.parametrize("method", ["message/send", "message/stream", "tasks/list"])
async def test_a_message_for_an_agent_that_fetches_is_a_row_before_it_is_answered(office, gateway, method):
    office.book.write(
        TARGET, delivery_mode=registry_pb2.DELIVERY_MODE_POLL, address="http://169.254.169.254/", address_trusted=False
    )

    head = (await gateway.ask(hello(method))).head

    (row,) = await office.log(TARGET)
    assert head.status == 200
    assert json.loads(head.body) == {
        "status": "queued",
        "delivery_mode": "poll",
        "method": method,
        "queue_id": row.id,
    }
    assert (row.method, row.activity_type) == (method, "a2a_receive")


@pytest.mark.covers("A2A-24", "A2A-39")
@pytest.mark.parametrize("agent", [RudeAgent(), DyingAgent(), None], ids=["502", "reset", "refused"])
async def test_a_dead_agent_is_restarted_and_the_caller_told_so(office, gateway, agent):
    office.hands.condition = provisioner_pb2.INSTANCE_CONDITION_GONE
    async with serving(agent or EchoAgent()) as served:
        office.book.write(TARGET, address=served.url if agent else "http://127.0.0.1:1/", generation=3)

        refused = (await gateway.ask(hello())).refused

    assert refused.reason == "AGENT_RESTARTING"
    assert details(refused) == {"restarting": True, "delivery": "unknown" if agent else "not_sent"}
    assert refused.retry_in.seconds == 15
    assert office.hands.asked == [(TARGET, 3)]


@pytest.mark.covers("A2A-24")
async def test_a_dead_status_of_a_living_agent_passes_with_its_page_withheld(office, gateway):
    async with serving(RudeAgent()) as agent:
        office.book.write(TARGET, address=agent.url)

        head = (await gateway.ask(hello())).head

        assert (head.status, head.body) == (502, b'{"error":"Bad Gateway"}')


async def test_nobody_is_asked_about_an_external_agent(office, gateway):
    office.book.write(TARGET, address="http://127.0.0.1:1/", external=True)

    refused = (await gateway.ask(hello())).refused

    assert (refused.reason, details(refused)) == ("AGENT_UNREACHABLE", {"delivery": "not_sent"})
    assert office.hands.asked == []


async def test_nobody_is_refused_on_the_word_of_a_feed_that_is_behind(office, gateway):
    async with serving(EchoAgent()) as agent:
        office.book.write(TARGET, address=agent.url, status=registry_pb2.WORKSPACE_STATUS_PROVISIONING)
        assert (await gateway.ask(hello())).refused.reason == "TARGET_UNAVAILABLE"

        office.book.records[TARGET].status = registry_pb2.WORKSPACE_STATUS_ONLINE  # and the feed does not tell

        assert (await gateway.ask(hello())).head.status == 200


@pytest.mark.covers("A2A-34")
@pytest.mark.parametrize("manner", ["429", "503", "json-rpc"])
async def test_a_busy_agent_says_when_to_come_again_and_leaves_a_row(office, gateway, manner):
    async with serving(BusyAgent(manner=manner)) as agent:
        office.book.write(TARGET, address=agent.url)

        refused = (await gateway.ask(hello())).refused

        assert refused.reason == "AGENT_BUSY"
        assert details(refused) == {"busy": True, "retry_after": 30}
        (row,) = await eventually(lambda: office.log(TARGET))
        assert (row.status, row.error_detail) == ("error", "workspace agent busy — retry after a short backoff")


async def test_an_agent_with_a_session_of_its_own_retries_itself(office, gateway):
    async with serving(BusyAgent()) as agent:
        declared = registry_pb2.Declarations(capabilities={"session": True})
        office.book.write(TARGET, address=agent.url, declarations=declared)

        assert details((await gateway.ask(hello())).refused)["native_session"] is True


@pytest.mark.covers("A2A-19", "A2A-21")
async def test_the_agents_own_idle_time_wins(office, gateway):
    async with serving(SilentAgent()) as agent:
        office.book.write(TARGET, address=agent.url, declarations=registry_pb2.Declarations(idle_timeout_seconds=1))

        refused = (await gateway.ask(hello())).refused

        assert (refused.reason, details(refused)) == ("AGENT_IDLE", {"idle_seconds": 1, "delivery": "unknown"})


@pytest.mark.covers("A2A-19")
async def test_heartbeats_of_the_target_keep_a_dispatch_alive(office, gateway):
    async with serving(SlowAgent()) as agent:
        office.book.write(TARGET, address=agent.url, declarations=registry_pb2.Declarations(idle_timeout_seconds=1))
        await gateway.open(1, hello())
        await agent.asked.wait()
        began = asyncio.get_running_loop().time()

        await eventually(lambda: office.book.pulse(TARGET) or asyncio.get_running_loop().time() - began > 1.5)
        agent.go.set()

        assert (await gateway.next(1)).head.status == 200


async def test_the_callers_deadline_ends_the_wait(office, gateway):
    async with serving(SilentAgent()) as agent:
        office.book.write(TARGET, address=agent.url)

        refused = (await gateway.ask(hello(), timeout="1")).refused

        assert refused.reason == "CALL_DEADLINE_EXCEEDED"
        assert details(refused) == {"timeout_seconds": 1, "delivery": "unknown"}
        assert refused.agent_micros > 900_000


async def test_a_post_that_stops_finishes_what_is_under_way_and_takes_nothing_new(database_url):
    async with serving(SlowAgent()) as agent, AsyncExitStack() as standing:
        office = await standing.enter_async_context(open_office(database_url))
        gateway = await standing.enter_async_context(exchanging(office))
        office.book.write(TARGET, address=agent.url)
        await gateway.open(1, hello())
        await agent.asked.wait()

        stopping = asyncio.ensure_future(office.stopped.wait())
        office.stop.set()
        assert await eventually(lambda: gateway.last_call)
        await gateway.open(2, hello())
        late = (await gateway.next(2)).refused
        agent.go.set()

        assert (late.reason, details(late)) == ("PLATFORM_UNAVAILABLE", {"delivery": "not_sent"})
        assert (await gateway.next(1)).head.status == 200
        await asyncio.wait_for(stopping, 4)
        assert len(await office.log(TARGET)) == 1


# Streams ─────────────────────────────────────────────────────────────────────


class FloodingAgent(EchoAgent):
    """Streams far more than a window at once."""

    size = 8 * api.WINDOW

    async def stream(self, request, message):
        response = aiohttp.web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: " + b"x" * (self.size - 8) + b"\n\n")
        return response


class EndlessAgent(EchoAgent):
    """Streams until somebody leaves."""

    def __init__(self) -> None:
        super().__init__()
        self.left = asyncio.Event()

    async def stream(self, request, message):
        response = aiohttp.web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b'data: {"a":1}\n\n')
        try:
            await asyncio.Event().wait()
        finally:
            self.left.set()
        return response


async def test_a_stream_passes_as_it_comes_and_the_log_keeps_its_last_event(office, gateway):
    async with serving(EchoAgent()) as agent:
        office.book.write(TARGET, address=agent.url)
        await gateway.open(1, hello("message/stream"))

        head = (await gateway.next(1)).head
        body = b""
        while (frame := await gateway.next(1)).HasField("chunk"):
            body += frame.chunk

        assert not head.complete
        assert head.headers["content-type"] == "text/event-stream"
        assert body.count(b": ping\r\n\r\n") == body.count(b"data: ") == 3
        assert not frame.end.interrupted
        (row,) = await eventually(lambda: office.log(TARGET))
        assert json.loads(row.response_body)["result"] == {"number": 2}


async def test_a_slow_client_stops_its_own_stream_and_no_other(office, gateway):
    async with serving(FloodingAgent()) as agent:
        office.book.write(TARGET, address=agent.url)
        await gateway.open(1, hello("message/stream"))
        assert not (await gateway.next(1)).head.complete
        received = 0
        while received < api.WINDOW // 2:
            received += len((await gateway.next(1)).chunk)

        assert (await gateway.ask(hello())).head.complete  # every frame before this answer has come
        while gateway.heard(1):
            received += len((await gateway.next(1)).chunk)
        assert received <= api.WINDOW

        while received < FloodingAgent.size:
            await gateway.send(pb.CallFrame(call_id=1, credit=pb.CallCredit(bytes=api.WINDOW)))
            received += len((await gateway.next(1)).chunk)
        assert (await gateway.next(1)).HasField("end")


async def test_a_client_that_leaves_ends_the_stream_of_the_agent(office, gateway):
    async with serving(EndlessAgent()) as agent:
        office.book.write(TARGET, address=agent.url)
        await gateway.open(1, hello("message/stream"))
        await gateway.next(1)
        await gateway.next(1)

        await gateway.send(pb.CallFrame(call_id=1, cancel=pb.CallCancel()))

        await asyncio.wait_for(agent.left.wait(), 5)
        (row,) = await eventually(lambda: office.log(TARGET))
        assert row.response_body == '{"a":1}'


async def test_a_client_that_leaves_does_not_stop_a_message(office, gateway):
    async with serving(SlowAgent()) as agent:
        office.book.write(TARGET, address=agent.url)
        await gateway.open(1, hello())
        await agent.asked.wait()

        await gateway.send(pb.CallFrame(call_id=1, cancel=pb.CallCancel()))
        agent.go.set()

        (row,) = await eventually(lambda: office.log(TARGET))
        assert row.status == "ok"


async def test_a_gateway_that_dies_does_not_stop_a_message_but_its_streams(office):
    async with serving(SlowAgent()) as slow, serving(EndlessAgent()) as endless:
        other = str(uuid4())
        office.book.write(TARGET, address=slow.url)
        office.book.write(other, address=endless.url)
        async with exchanging(office) as gateway:
            await gateway.open(1, hello())
            await gateway.open(2, hello("message/stream"), target=other)
            await gateway.next(2)
            await slow.asked.wait()

        await asyncio.wait_for(endless.left.wait(), 5)
        slow.go.set()
        (row,) = await eventually(lambda: office.log(TARGET))
        assert row.status == "ok"


async def test_a_stream_that_breaks_off_ends_as_interrupted(office, gateway):
    async with serving(DyingAgent(moment="stream")) as agent:
        office.book.write(TARGET, address=agent.url)
        await gateway.open(1, hello("message/stream"))

        assert (await gateway.next(1)).HasField("head")
        assert (await gateway.next(1)).HasField("chunk")
        assert (await gateway.next(1)).end.interrupted
        (row,) = await eventually(lambda: office.log(TARGET))
        assert (row.status, row.error_detail) == ("error", "upstream stream interrupted")


# The log ─────────────────────────────────────────────────────────────────────


async def activity(office: Office, sender: Identity = ADMIN, **fields) -> list[activity_pb2.Activity]:
    async with clients.open_channel(office.address, speaker="gateway") as line:
        stub = activity_pb2_grpc.ActivityServiceStub(line.channel)
        request = activity_pb2.ListActivityRequest(workspace_id=TARGET, **fields)
        return list((await line.call(stub.ListActivity, request, on_behalf_of=sender)).activities)


async def test_the_log_can_be_read_by_its_workspace_and_by_no_other(office, gateway):
    office.book.write(TARGET, delivery_mode=registry_pb2.DELIVERY_MODE_POLL)
    await gateway.ask(hello())

    (found,) = await activity(office, Identity(kind=Kind.WORKSPACE, name=TARGET))
    assert (found.method, found.request_body) == ("message/send", hello())
    assert not found.HasField("response_body")
    with pytest.raises(PermissionDenied):
        await activity(office, A_WORKSPACE)
    with pytest.raises(Unauthenticated):
        await activity(office, Identity(kind=Kind.SERVICE, name="registry"))


async def test_what_cannot_be_meant_is_refused(office):
    with pytest.raises(NotFound) as gone:
        await activity(office, since_id=str(uuid4()))
    assert gone.value.reason == "ACTIVITY_CURSOR_GONE"
    with pytest.raises(InvalidArgument) as window:
        await activity(office, since=timedelta())
    assert window.value.message == "since_secs must be a positive integer"
