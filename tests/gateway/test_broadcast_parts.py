"""Broadcasts of the A2A proxy that are too large for one message of its stream."""

import pytest

from tests.gateway.conftest import run_gateway_under_test
from tests.gateway.event_clients import open_event_stream
from tests.gateway.fake_event_feed import FakeEventService
from tests.waiting import eventually

W = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
async def plane():
    event_feed = FakeEventService()
    event_feed.place_workspace(W)
    async with run_gateway_under_test(event_feed=event_feed) as plane:
        await eventually(lambda: event_feed.watched_after)
        yield plane


@pytest.mark.covers("ACT-05")
async def test_a_broadcast_in_parts_arrives_whole_and_a_part_of_a_broken_stream_is_forgotten(plane):
    async with open_event_stream(plane.http, W) as stream:
        await eventually(lambda: plane.broadcast_feed.listeners)
        first, *_ = plane.broadcast_feed.listeners
        plane.broadcast_feed.broadcast(W, b'{"lost":', continues=True)
        plane.broadcast_feed.break_streams()
        await eventually(lambda: plane.broadcast_feed.listeners and first not in plane.broadcast_feed.listeners)
        for part in (b'{"request_body"', b":[1,", b"2]"):
            plane.broadcast_feed.broadcast(W, part, continues=True)
        plane.broadcast_feed.broadcast(W, b"}")
        plane.broadcast_feed.broadcast(W, b'{"next":1}')

        assert [(await stream.event())["data"] for _ in range(2)] == [{"request_body": [1, 2]}, {"next": 1}]
