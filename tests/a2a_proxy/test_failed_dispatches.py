"""Failed and busy dispatches leave one activity row and one broadcast each."""

import asyncio
import json
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from uuid import uuid4

import pytest

from protos.a2a_proxy.v1 import broadcasts_pb2 as pb
from protos.a2a_proxy.v1 import broadcasts_pb2_grpc as rpc
from services.chassis import clients
from tests.a2a_proxy.fake_gateway import A_WORKSPACE, CALLER, TARGET, message_body, open_exchange
from tests.a2a_proxy.running_proxy import run_proxy
from tests.agents import BusyAgent, EchoAgent, SilentAgent, serve_agent
from tests.waiting import eventually

MARKER = str(uuid4())
"""A workspace whose messages mark positions in the stream of broadcasts."""

BUSY = "workspace agent busy — retry after a short backoff"


@asynccontextmanager
async def watch_broadcasts(proxy):
    async with clients.open_channel(proxy.address, caller_service="gateway") as channel:
        stub = rpc.BroadcastServiceStub(channel.channel)
        async with aclosing(channel.watch(stub.WatchBroadcasts, pb.WatchBroadcastsRequest())) as watch:
            yield watch


async def read_until_marked(watch, gateway, message_id: str) -> list:
    """Send a message to the marker until it is broadcast; return what was broadcast before."""
    read = []

    async def read_on():
        async for batch in watch:
            for one in batch.broadcasts:
                if one.workspace_id == MARKER and message_id.encode() in one.payload:
                    return
                read.append(one)

    reading = asyncio.ensure_future(read_on())

    async def is_marked() -> bool:
        await gateway.send_message(message_body(message_id=message_id), target=MARKER)
        await asyncio.wait([reading], timeout=0.2)
        return reading.done()

    await eventually(is_marked)
    await reading
    return read


@pytest.mark.covers("A2A-34")
@pytest.mark.parametrize(
    ("agent", "idle", "reason", "detail"),
    [
        (None, 300, "AGENT_UNREACHABLE", "failed to reach workspace agent"),
        (SilentAgent, 0.2, "AGENT_IDLE", "agent idle timeout"),
        (BusyAgent, 300, "AGENT_BUSY", BUSY),
    ],
    ids=["refused", "timeout", "busy"],
)
async def test_a_failed_dispatch_leaves_one_row_and_one_broadcast(database_url, agent, idle, reason, detail):
    async with (
        run_proxy(database_url, idle_timeout=timedelta(seconds=idle)) as proxy,
        open_exchange(proxy) as gateway,
        watch_broadcasts(proxy) as watch,
        serve_agent(EchoAgent()) as marker,
        serve_agent((agent or EchoAgent)()) as served,
    ):
        proxy.registry.set_workspace(MARKER, address=marker.url)
        address = served.url if agent else "http://127.0.0.1:1/"
        proxy.registry.set_workspace(TARGET, address=address, external=True)
        proxy.registry.set_workspace(CALLER)
        await read_until_marked(watch, gateway, "the-first")

        refused = (await gateway.send_message(message_body("message/stream"), sender=A_WORKSPACE)).refused

        assert refused.reason == reason
        await eventually(lambda: proxy.list_activities(TARGET))
        sent = [one for one in await read_until_marked(watch, gateway, "the-last") if one.workspace_id == TARGET]
        [row] = await proxy.list_activities(TARGET)
        [event] = sent

    assert (row.status, row.error_detail, row.source_id) == ("error", detail, CALLER)
    assert event.event_type == "ACTIVITY_LOGGED"
    payload = json.loads(event.payload)
    assert (payload["activity_type"], payload["status"], payload["source_id"]) == ("a2a_receive", "error", CALLER)
    assert payload["request_body"] == json.loads(message_body("message/stream"))
