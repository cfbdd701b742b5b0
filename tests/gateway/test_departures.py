"""Clients that leave, and such that only end their direction, over raw sockets."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from molecule_http.limits import ConnectionLimits
from tests.agents import SlowAgent, serve_agent
from tests.gateway.gateway_with_proxy import TARGET, GatewayWithProxy, hello, run_gateway_with_proxy
from tests.http.raw_client import RawConnection, open_connection
from tests.waiting import eventually


@dataclass
class WatchedAgent(SlowAgent):
    """Answers after a test sets `go`, and notices when its connection ends before."""

    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def reply(self, request, message):
        try:
            return await super().reply(request, message)
        except asyncio.CancelledError:
            self.left.set()
            raise


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[GatewayWithProxy]:
    async with run_gateway_with_proxy(database_url) as gateway:
        yield gateway


def build_request(method: str) -> bytes:
    body = json.dumps(hello(method)).encode()
    head = f"POST /workspaces/{TARGET}/a2a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def reset_at_close(connection: RawConnection) -> None:
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.covers("A2A-41")
@pytest.mark.parametrize("method", ["message/stream", "SendStreamingMessage", "tasks/resubscribe", "SubscribeToTask"])
async def test_a_client_that_leaves_before_a_stream_begins_ends_the_dispatch(gateway, method):
    async with serve_agent(WatchedAgent()) as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)
        async with open_connection(gateway.url) as connection:
            await connection.send(build_request(method))
            await agent.asked.wait()
            reset_at_close(connection)

        await asyncio.wait_for(agent.left.wait(), 2)
        assert await eventually(lambda: gateway.active_calls == 0)
        (row,) = await eventually(lambda: gateway.proxy.list_activities(TARGET))
        assert (row.status, row.error_detail) == ("error", "caller left before the answer began")


@pytest.mark.covers("A2A-41")
async def test_a_client_that_closes_its_connection_is_noticed_too(database_url):
    async with (
        serve_agent(WatchedAgent()) as agent,
        run_gateway_with_proxy(database_url, limits=ConnectionLimits(probe_seconds=0.3)) as gateway,
    ):
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)
        async with open_connection(gateway.url) as connection:
            await connection.send(build_request("message/stream"))
            await agent.asked.wait()

        await asyncio.wait_for(agent.left.wait(), 8)
        assert await eventually(lambda: gateway.active_calls == 0)


@pytest.mark.covers("A2A-41")
async def test_a_message_continues_without_its_client_and_its_outcome_is_recorded(gateway):
    async with serve_agent(WatchedAgent()) as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)
        async with open_connection(gateway.url) as connection:
            await connection.send(build_request("message/send"))
            await agent.asked.wait()
            reset_at_close(connection)

        assert await eventually(lambda: gateway.active_calls == 0)
        assert not agent.left.is_set()
        agent.go.set()
        (row,) = await eventually(lambda: gateway.proxy.list_activities(TARGET))
        assert row.status == "ok"
        assert json.loads(row.response_body)["result"]["parts"] == [{"kind": "text", "text": "hi"}]


@pytest.mark.covers("A2A-41", "EDGE-04")
@pytest.mark.parametrize("method", ["message/send", "message/stream"])
async def test_a_client_that_has_only_ended_its_direction_gets_the_answer(gateway, method):
    async with serve_agent(WatchedAgent()) as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)
        async with open_connection(gateway.url) as connection:
            await connection.send(build_request(method), ends_input=True)
            await agent.asked.wait()
            loop = asyncio.get_running_loop()
            began = loop.time()
            await eventually(lambda: loop.time() - began > 0.3)  # longer than the gateway waits before it watches
            agent.go.set()

            response = await connection.read_response()

        assert response.status == 200
        assert not agent.left.is_set()


@pytest.mark.covers("A2A-41")
async def test_a_connection_that_was_watched_serves_the_next_request(gateway):
    async with serve_agent(WatchedAgent()) as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)
        async with open_connection(gateway.url) as connection:
            await connection.send(build_request("message/send"))
            await agent.asked.wait()
            await connection.send(build_request("message/send"))  # while the first one is under way
            loop = asyncio.get_running_loop()
            began = loop.time()
            await eventually(lambda: loop.time() - began > 0.2)
            agent.go.set()

            assert (await connection.read_response()).status == 200
            assert (await connection.read_response()).status == 200
        assert len(agent.bodies) == 2
