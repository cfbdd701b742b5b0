"""Events of a whole plane, received on streams and sockets of two gateways."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from websockets.exceptions import ConnectionClosed

from deploy.plane import Plane
from tests.databases import plane_database
from tests.e2e.principals import external
from tests.gateway.event_clients import open_event_stream, open_websocket, receive_event

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

RECONNECTS = 50
"""The number of times that a subscriber reconnects."""


class TwoGateways:
    """A plane with two gateways, and an HTTP client of each."""

    def __init__(self, plane: Plane, urls: tuple[str, str], https: tuple[httpx.AsyncClient, httpx.AsyncClient]) -> None:
        self.plane = plane
        self.urls = urls
        self.https = https

    async def change_card(self, workspace_id: str, bearer: str, turn: int, *, at: int = 0) -> None:
        """Change the card of a workspace, which is a stored event."""
        body = {"workspace_id": workspace_id, "agent_card": {"name": "one", "version": str(turn)}}
        headers = {"Authorization": f"Bearer {bearer}"}
        answer = await self.https[at].post("/registry/update-card", json=body, headers=headers, timeout=30)
        assert answer.status_code == 200, answer.text

    async def send_heartbeat(self, workspace_id: str, bearer: str, **body: Any) -> None:
        """Send a heartbeat."""
        body = {"workspace_id": workspace_id, "error_rate": 0.0, "active_tasks": 0, "uptime_seconds": 1, **body}
        headers = {"Authorization": f"Bearer {bearer}"}
        answer = await self.https[0].post("/registry/heartbeat", json=body, headers=headers, timeout=30)
        assert answer.status_code == 200, answer.text


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateways(database_url: str) -> AsyncIterator[TwoGateways]:
    async with (
        plane_database(database_url) as url,
        Plane(backend="none", database_url=url, processes=True) as plane,
        httpx.AsyncClient(base_url=plane.url, trust_env=False) as one,
    ):
        second = await plane.start_gateway("gateway-2")
        async with httpx.AsyncClient(base_url=second, trust_env=False) as other:
            yield TwoGateways(plane, (plane.url, second), (one, other))


async def read_until(read_event: Any, last: int) -> list[int]:
    """Return the ids of the stored events up to the event with the id `last`."""
    found: list[int] = []
    while not found or found[-1] < last:
        received = await read_event()
        found += [received["event_id"]] if "event_id" in received else []
    return found


async def last_event(gateways: TwoGateways, workspace_id: str) -> int:
    [newest] = (await gateways.https[0].get(f"/events/{workspace_id}", params={"limit": 1})).json()
    return int(newest["event_id"])


async def list_event_ids(gateways: TwoGateways, workspace_id: str, after: int) -> list[int]:
    """Return the ids of the stored events of a workspace from the event log."""
    answer = await gateways.https[0].get(f"/events/{workspace_id}", params={"after_event_id": after, "limit": 500})
    return [one["event_id"] for one in answer.json()]


@pytest.mark.covers("GW-03", "BEY-17")
async def test_a_stream_and_a_socket_of_two_gateways_receive_the_same_events_in_the_same_order(gateways):
    one, bearer = await external(gateways.plane, "one")
    other, _ = await external(gateways.plane, "other")
    first_id = await last_event(gateways, one)
    async with open_event_stream(gateways.https[0], one) as stream, open_websocket(gateways.urls[1]) as socket:

        async def read_own_event() -> dict[str, Any]:
            while (received := await receive_event(socket))["workspace_id"] != one:
                pass
            return received

        for turn in range(20):
            await gateways.change_card(one, bearer, turn, at=turn % 2)
        last = await last_event(gateways, one)
        received = await asyncio.gather(read_until(stream.event, last), read_until(read_own_event, last))

    assert received[0] == received[1] == await list_event_ids(gateways, one, first_id)
    assert len(received[0]) == 20
    assert other != one


@pytest.mark.covers("BEY-02")
async def test_a_subscriber_that_reconnects_to_two_gateways_receives_the_same_events_as_one_connection(gateways):
    one, bearer = await external(gateways.plane, "one")
    first_id = await last_event(gateways, one)
    generator = random.Random(1)  # noqa: S311 - repeatable, not secret
    done = asyncio.Event()

    async def change_cards() -> None:
        turn = 0
        while not done.is_set():
            turn += 1
            await gateways.change_card(one, bearer, turn)

    async def read_unbroken() -> list[int]:
        async with open_event_stream(gateways.https[0], one, after=first_id) as stream:
            await done.wait()
            return await read_until(stream.event, await last_event(gateways, one))

    async def read_with_reconnects() -> list[int]:
        found = [first_id]
        for number in range(RECONNECTS):
            wanted = generator.randrange(1, 5)
            if number % 3:
                async with open_event_stream(gateways.https[number % 2], one, after=found[-1]) as stream:
                    while wanted:
                        found.append((await stream.event())["event_id"])
                        wanted -= 1
            else:
                async with open_websocket(gateways.urls[number % 2], after=found[-1], bearer=bearer) as socket:
                    while wanted:
                        received = await receive_event(socket)
                        if received["workspace_id"] == one and "event_id" in received:
                            found.append(received["event_id"])
                            wanted -= 1
        done.set()
        async with open_event_stream(gateways.https[1], one, after=found[-1]) as stream:
            last = await last_event(gateways, one)
            return found[1:] + (await read_until(stream.event, last) if found[-1] < last else [])

    unbroken, joined, _ = await asyncio.gather(read_unbroken(), read_with_reconnects(), change_cards())
    length = min(len(unbroken), len(joined))

    assert length > RECONNECTS
    assert unbroken[:length] == joined[:length] == (await list_event_ids(gateways, one, first_id))[:length]


async def test_each_heartbeat_is_published_and_a_task_is_published_when_it_changes(gateways):
    one, bearer = await external(gateways.plane, "one")
    answer = await gateways.https[0].post(
        "/registry/register",
        json={"id": one, "agent_card": {"name": "one"}, "delivery_mode": "poll"},
        headers={"Authorization": f"Bearer {bearer}"},
    )
    assert answer.status_code == 200, answer.text
    async with open_event_stream(gateways.https[1], one) as stream:
        listening = asyncio.ensure_future(stream.event())
        while not listening.done():
            await gateways.send_heartbeat(one, bearer, current_task="a", active_tasks=1)
        await gateways.send_heartbeat(one, bearer, current_task="b", active_tasks=2)
        received = [await listening]
        while received[-1]["type"] != "TASK_UPDATED" or received[-1]["data"]["current_task"] != "b":
            received.append(await stream.event())

    assert received[-1]["data"] == {"active_tasks": 2, "current_task": "b"}
    assert {"active_tasks": 1, "uptime_seconds": 1} in [one["data"] for one in received]
    assert all("event_id" not in one for one in received)


async def test_a_move_changes_the_events_of_an_open_socket(gateways):
    root, _ = await external(gateways.plane, "root")
    listening, bearer = await external(gateways.plane, "listening", parent_id=root)
    moving, own = await external(gateways.plane, "moving", parent_id=root)

    async def move(parent_id: str | None) -> None:
        answer = await gateways.https[0].patch(f"/workspaces/{moving}", json={"parent_id": parent_id})
        assert answer.status_code == 200, answer.text

    async with open_websocket(gateways.urls[1], bearer=bearer) as socket:

        async def read_version() -> str:
            while (received := await receive_event(socket))["event"] != "AGENT_CARD_UPDATED":
                pass
            assert received["workspace_id"] == moving != listening
            return str(received["payload"]["agent_card"]["version"])

        await gateways.change_card(moving, own, 1)
        await move(None)
        await gateways.change_card(moving, own, 2)
        await move(root)
        await gateways.change_card(moving, own, 3)

        assert [await read_version(), await read_version()] == ["1", "3"]


@pytest.mark.covers("ACT-04", "ACT-05", "ACT-16")
async def test_bodies_of_reported_activity_arrive_whole_at_the_streams_of_both_gateways(gateways):
    one, bearer = await external(gateways.plane, "one")
    body = {"text": "x" * 1024 * 1024, "lines": ["\n", 0.1, None]}
    report = {"activity_type": "task_update", "summary": "works", "request_body": body}
    async with open_event_stream(gateways.https[0], one) as first, open_event_stream(gateways.https[1], one) as second:
        for stream in (
            first,
            second,
        ):  # a gateway reads broadcasts while it has subscribers, so the first may be missed
            listening = asyncio.ensure_future(stream.event())
            while not listening.done():
                await gateways.send_heartbeat(one, bearer)
            await listening
        answer = await gateways.https[0].post(
            f"/workspaces/{one}/activity", json=report, headers={"Authorization": f"Bearer {bearer}"}
        )
        assert (answer.status_code, answer.json()) == (200, {"status": "logged"})
        logged = []
        for stream in (first, second):
            while (received := await stream.event())["type"] != "ACTIVITY_LOGGED":
                pass
            logged.append(received["data"])

    assert logged[0] == logged[1]
    assert logged[0]["request_body"] == body
    assert not {"response_body", "tool_trace"} & set(logged[0])


@pytest.mark.covers("AUTH-09")
async def test_revoking_a_token_closes_its_socket(gateways):
    one, bearer = await external(gateways.plane, "one")
    async with open_websocket(gateways.urls[1], bearer=bearer) as socket:
        await gateways.change_card(one, bearer, 1)
        while (await receive_event(socket))["event"] != "AGENT_CARD_UPDATED":
            pass
        [token] = (await gateways.https[0].get(f"/workspaces/{one}/tokens")).json()["tokens"]
        async with asyncio.timeout(5):
            answer = await gateways.https[0].delete(f"/workspaces/{one}/tokens/{token['id']}")
            assert answer.status_code == 200, answer.text
            with pytest.raises(ConnectionClosed) as closed:
                await receive_event(socket)

    assert closed.value.rcvd.code == 1008


async def test_the_stream_of_a_workspace_ends_when_it_is_removed_and_purged(gateways):
    one, _ = await external(gateways.plane, "one")
    async with open_event_stream(gateways.https[1], one) as stream:
        answer = await gateways.https[0].delete(f"/workspaces/{one}", params={"purge": "true"})
        assert answer.status_code == 200, answer.text
        events = await stream.rest()

    assert [received["type"] for received in events] == ["WORKSPACE_REMOVED"]


@pytest.mark.covers("BEY-18")
async def test_subscribers_miss_no_event_when_the_registry_is_killed(gateways):
    one, bearer = await external(gateways.plane, "one")
    first_id = await last_event(gateways, one)
    async with (
        open_event_stream(gateways.https[0], one) as stream,
        open_websocket(gateways.urls[1], bearer=bearer) as socket,
    ):
        await gateways.change_card(one, bearer, 1)
        gateways.plane.kill("registry")
        sent = 1
        async with asyncio.timeout(60):
            while sent < 4:
                try:
                    await gateways.change_card(one, bearer, sent + 1)
                    sent += 1
                except AssertionError:
                    await asyncio.sleep(0.2)
        last = await last_event(gateways, one)

        async def read_event() -> dict[str, Any]:
            return await receive_event(socket)

        received = await asyncio.gather(read_until(stream.event, last), read_until(read_event, last))

    assert received[0] == received[1] == await list_event_ids(gateways, one, first_id)
