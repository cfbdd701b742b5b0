"""A slow client delays no other, and its subscription ends before it would lose a stored event."""

import asyncio
import contextlib
from contextlib import asynccontextmanager

import pytest
from websockets.exceptions import ConnectionClosed

from tests.gateway.conftest import run_gateway_under_test
from tests.gateway.event_clients import open_event_stream, open_websocket, receive_event
from tests.gateway.fake_event_feed import FakeEventService
from tests.waiting import eventually

W = "11111111-1111-4111-8111-111111111111"

LARGE = "x" * 100_000
"""What fills every buffer on the way soon."""

MANY = 700
"""Events that together are more than what the ways hold and the gateway keeps."""


@pytest.fixture
async def plane():
    event_feed = FakeEventService(page=50)
    event_feed.place_workspace(W)
    async with run_gateway_under_test(event_feed=event_feed) as plane:
        yield plane


async def happen(plane, count):
    """Publish many large events, each received by a fast client before the next."""
    async with open_websocket(plane.url) as quick:
        numbers = []
        for _ in range(count):
            numbers.append(plane.event_feed.publish(W, text=LARGE))
            assert (await receive_event(quick))["event_id"] == numbers[-1]
        return numbers


@asynccontextmanager
async def knocking(plane, *lines):
    """A client that sends its request and reads nothing."""
    host, port = plane.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    writer.write(b"\r\n".join([*lines, b"", b""]))
    await writer.drain()
    try:
        yield reader, writer
    finally:
        writer.close()


@pytest.mark.covers("GW-03")
async def test_a_slow_websocket_delays_no_other_and_is_closed_to_resume(plane):
    async with open_websocket(plane.url) as slow:
        numbers = await happen(plane, MANY)
        heard = []
        with contextlib.suppress(ConnectionClosed):
            while True:
                heard.append((await receive_event(slow))["event_id"])
    assert slow.close_code == 1013
    assert heard == numbers[: len(heard)]
    assert 0 < len(heard) < len(numbers)

    async with open_websocket(plane.url, after=heard[-1]) as again:
        rest = [(await receive_event(again))["event_id"] for _ in range(len(numbers) - len(heard))]
    assert heard + rest == numbers


@pytest.mark.covers("GW-03")
async def test_a_slow_event_stream_delays_no_other_and_ends_to_resume(plane):
    request = (
        b"GET /workspaces/%s/events/stream HTTP/1.1" % W.encode(),
        b"Host: localhost",
        b"Connection: close",
    )
    async with knocking(plane, *request) as (reader, _):
        await eventually(lambda: plane.event_feed.resolved)
        numbers = await happen(plane, MANY)
        async with asyncio.timeout(20):
            said = await reader.read()
            while chunk := await reader.read():
                said += chunk
    heard = [int(line[4:]) for line in said.split(b"\n") if line.startswith(b"id: ")]
    whole = heard[:-1]  # the last may have been cut

    assert heard == numbers[: len(heard)]
    assert 0 < len(heard) < len(numbers)
    async with open_event_stream(plane.http, W, after=whole[-1]) as stream:
        assert (await stream.event())["event_id"] == numbers[len(whole)]
