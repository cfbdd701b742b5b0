"""Clients of several gateways resume streams by HTTP."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from gateway.exchange import ExchangePool
from services.a2a_proxy.streams.event_ids import build_stream_id
from services.chassis import clients
from tests.a2a_proxy.running_proxy import run_replica
from tests.a2a_proxy.streams.stream_agent import StreamAgent
from tests.agents import serve_agent
from tests.gateway.gateway_with_proxy import (
    TARGET,
    FakeIdentityProvider,
    GatewayWithProxy,
    application,
    hello,
    run_gateway_with_proxy,
)
from tests.http.conftest import run_server

EVENTS = 1000


@asynccontextmanager
async def run_other_gateway(first: GatewayWithProxy) -> AsyncIterator[str]:
    """Run a further gateway in front of a further proxy with the same database; yields its URL."""
    async with (
        run_replica(first.proxy) as replica,
        clients.open_channel(replica.address, caller_service="gateway") as line,
        asyncio.TaskGroup() as group,
    ):
        exchanges = ExchangePool([line])
        running = group.create_task(exchanges.run())
        async with run_server(application(FakeIdentityProvider(), exchanges)) as url:
            yield url
        running.cancel()


async def read(gateway: GatewayWithProxy, url: str, events: dict[str, str], *, most: int) -> bool:
    """Read up to `most` further events into `events` and leave; returns whether the stream has ended."""
    headers = {"Last-Event-ID": list(events)[-1]} if events else {}
    path = f"{url}/workspaces/{TARGET}/a2a"
    async with gateway.http.post(path, json=hello("message/stream"), headers=headers) as answer:
        assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")
        id_ = ""
        async for line in answer.content:
            if line.startswith(b"id: "):
                id_ = line[4:].strip().decode()
            elif line.startswith(b"data: "):
                assert id_ not in events
                parts = json.loads(line[6:])["result"].get("artifact", {}).get("parts", [])
                events[id_] = "".join(part["text"] for part in parts)
                most -= 1
                if not most:
                    answer.close()
                    return False
    return True


@pytest.mark.covers("BEY-02")
async def test_a_stream_that_is_cut_at_random_on_alternating_gateways_joins_to_the_same_text(database_url):
    chosen = random.Random(11)  # noqa: S311 - a seeded choice
    cuts = sorted(chosen.sample(range(1, EVENTS), 20))
    agent = StreamAgent(events=EVENTS, pauses=frozenset({EVENTS // 2}))
    async with (
        serve_agent(agent),
        run_gateway_with_proxy(database_url) as gateway,
        run_other_gateway(gateway) as other,
    ):
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)
        events: dict[str, str] = {}
        for place, cut in enumerate(cuts):
            if cut > EVENTS // 2:
                agent.go.set()
            url = (gateway.url, other)[place % 2]
            assert not await read(gateway, url, events, most=cut - len(events))
        assert await read(gateway, gateway.url, events, most=2 * EVENTS)

    assert "".join(events.values()) == "".join(f"{number} " for number in range(EVENTS))
    assert agent.methods == ["message/stream"]


@pytest.mark.covers("BEY-02")
@pytest.mark.parametrize("version", ["", "0.3", "1.0"])
async def test_an_id_of_a_stream_that_is_not_kept_is_410(database_url, version):
    async with run_gateway_with_proxy(database_url) as gateway:
        gateway.proxy.registry.set_workspace(TARGET, address="http://127.0.0.1:9/")
        headers = {"Last-Event-ID": f"{build_stream_id(TARGET, uuid4().bytes)}:7"}
        if version:
            headers["A2A-Version"] = version
        method = "SendStreamingMessage" if version == "1.0" else "message/stream"
        async with gateway.post(hello(method), headers=headers) as answer:
            assert answer.status == 410
            body = await answer.json(content_type=None)

    text = body["error"] if not version else body["error"]["message"]
    assert text == "stream events no longer available"
