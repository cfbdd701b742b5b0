"""What happens in a whole plane, heard on streams and sockets of two gateways."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from websockets.exceptions import ConnectionClosed

from deploy.plane import Plane, fresh_database
from tests.e2e.principals import external
from tests.gateway.event_clients import open_event_stream, open_websocket, receive_event

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

CUTS = 50
"""How often a listener is cut off."""


class Doors:
    """A plane with two gateways, and a client of each."""

    def __init__(self, plane: Plane, urls: tuple[str, str], https: tuple[httpx.AsyncClient, httpx.AsyncClient]) -> None:
        self.plane = plane
        self.urls = urls
        self.https = https

    async def change_card(self, workspace_id: str, bearer: str, turn: int, *, at: int = 0) -> None:
        """Something that is told and kept."""
        said = {"workspace_id": workspace_id, "agent_card": {"name": "one", "version": str(turn)}}
        headers = {"Authorization": f"Bearer {bearer}"}
        answer = await self.https[at].post("/registry/update-card", json=said, headers=headers, timeout=30)
        assert answer.status_code == 200, answer.text

    async def beat(self, workspace_id: str, bearer: str, **said: Any) -> None:
        """A heartbeat."""
        body = {"workspace_id": workspace_id, "error_rate": 0.0, "active_tasks": 0, "uptime_seconds": 1, **said}
        headers = {"Authorization": f"Bearer {bearer}"}
        answer = await self.https[0].post("/registry/heartbeat", json=body, headers=headers, timeout=30)
        assert answer.status_code == 200, answer.text


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def doors(database_url: str) -> AsyncIterator[Doors]:
    async with (
        fresh_database(database_url) as url,
        Plane(backend="none", database_url=url, processes=True) as plane,
        httpx.AsyncClient(base_url=plane.url, trust_env=False) as one,
    ):
        second = await plane.start_gateway("gateway-2")
        async with httpx.AsyncClient(base_url=second, trust_env=False) as other:
            yield Doors(plane, (plane.url, second), (one, other))


async def until_number(told: Any, last: int) -> list[int]:
    """The ids of the stored events up to the one with this id."""
    found: list[int] = []
    while not found or found[-1] < last:
        heard = await told()
        found += [heard["event_id"]] if "event_id" in heard else []
    return found


async def last_event(doors: Doors, workspace_id: str) -> int:
    [newest] = (await doors.https[0].get(f"/events/{workspace_id}", params={"limit": 1})).json()
    return int(newest["event_id"])


async def kept(doors: Doors, workspace_id: str, after: int) -> list[int]:
    """The ids of the stored events of a workspace, as the log has them."""
    answer = await doors.https[0].get(f"/events/{workspace_id}", params={"after_event_id": after, "limit": 500})
    return [one["event_id"] for one in answer.json()]


@pytest.mark.covers("GW-03", "BEY-17")
async def test_a_stream_and_a_socket_of_two_gateways_tell_the_same_in_the_same_order(doors):
    one, bearer = await external(doors.plane, "one")
    other, _ = await external(doors.plane, "other")
    began = await last_event(doors, one)
    async with open_event_stream(doors.https[0], one) as stream, open_websocket(doors.urls[1]) as socket:

        async def of_the_one() -> dict[str, Any]:
            while (heard := await receive_event(socket))["workspace_id"] != one:
                pass
            return heard

        for turn in range(20):
            await doors.change_card(one, bearer, turn, at=turn % 2)
        last = await last_event(doors, one)
        heard = await asyncio.gather(until_number(stream.event, last), until_number(of_the_one, last))

    assert heard[0] == heard[1] == await kept(doors, one, began)
    assert len(heard[0]) == 20
    assert other != one


@pytest.mark.covers("BEY-02")
async def test_what_is_heard_in_pieces_on_two_gateways_is_what_is_heard_in_one(doors):
    one, bearer = await external(doors.plane, "one")
    began = await last_event(doors, one)
    dice = random.Random(1)  # noqa: S311 - repeatable, not secret
    done = asyncio.Event()

    async def happening() -> None:
        turn = 0
        while not done.is_set():
            turn += 1
            await doors.change_card(one, bearer, turn)

    async def in_one() -> list[int]:
        async with open_event_stream(doors.https[0], one, after=began) as stream:
            await done.wait()
            return await until_number(stream.event, await last_event(doors, one))

    async def in_pieces() -> list[int]:
        found = [began]
        for cut in range(CUTS):
            wanted = dice.randrange(1, 5)
            if cut % 3:
                async with open_event_stream(doors.https[cut % 2], one, after=found[-1]) as stream:
                    while wanted:
                        found.append((await stream.event())["event_id"])
                        wanted -= 1
            else:
                async with open_websocket(doors.urls[cut % 2], after=found[-1], bearer=bearer) as socket:
                    while wanted:
                        heard = await receive_event(socket)
                        if heard["workspace_id"] == one and "event_id" in heard:
                            found.append(heard["event_id"])
                            wanted -= 1
        done.set()
        async with open_event_stream(doors.https[1], one, after=found[-1]) as stream:
            last = await last_event(doors, one)
            return found[1:] + (await until_number(stream.event, last) if found[-1] < last else [])

    uncut, joined, _ = await asyncio.gather(in_one(), in_pieces(), happening())
    length = min(len(uncut), len(joined))

    assert length > CUTS
    assert uncut[:length] == joined[:length] == (await kept(doors, one, began))[:length]


async def test_a_heartbeat_is_told_once_and_a_task_when_it_is_another(doors):
    one, bearer = await external(doors.plane, "one")
    answer = await doors.https[0].post(
        "/registry/register",
        json={"id": one, "agent_card": {"name": "one"}, "delivery_mode": "poll"},
        headers={"Authorization": f"Bearer {bearer}"},
    )
    assert answer.status_code == 200, answer.text
    async with open_event_stream(doors.https[1], one) as stream:
        listening = asyncio.ensure_future(stream.event())
        while not listening.done():
            await doors.beat(one, bearer, current_task="a", active_tasks=1)
        await doors.beat(one, bearer, current_task="b", active_tasks=2)
        heard = [await listening]
        while heard[-1]["type"] != "TASK_UPDATED" or heard[-1]["data"]["current_task"] != "b":
            heard.append(await stream.event())

    assert heard[-1]["data"] == {"active_tasks": 2, "current_task": "b"}
    assert {"active_tasks": 1, "uptime_seconds": 1} in [one["data"] for one in heard]
    assert all("event_id" not in one for one in heard)


async def test_a_move_changes_what_a_running_socket_hears(doors):
    root, _ = await external(doors.plane, "root")
    listening, bearer = await external(doors.plane, "listening", parent_id=root)
    moving, own = await external(doors.plane, "moving", parent_id=root)

    async def moved(parent_id: str | None) -> None:
        answer = await doors.https[0].patch(f"/workspaces/{moving}", json={"parent_id": parent_id})
        assert answer.status_code == 200, answer.text

    async with open_websocket(doors.urls[1], bearer=bearer) as socket:

        async def version() -> str:
            while (heard := await receive_event(socket))["event"] != "AGENT_CARD_UPDATED":
                pass
            assert heard["workspace_id"] == moving != listening
            return str(heard["payload"]["agent_card"]["version"])

        await doors.change_card(moving, own, 1)
        await moved(None)
        await doors.change_card(moving, own, 2)
        await moved(root)
        await doors.change_card(moving, own, 3)

        assert [await version(), await version()] == ["1", "3"]


@pytest.mark.covers("AUTH-09")
async def test_a_token_that_is_revoked_ends_its_socket(doors):
    one, bearer = await external(doors.plane, "one")
    async with open_websocket(doors.urls[1], bearer=bearer) as socket:
        await doors.change_card(one, bearer, 1)
        while (await receive_event(socket))["event"] != "AGENT_CARD_UPDATED":
            pass
        [token] = (await doors.https[0].get(f"/workspaces/{one}/tokens")).json()["tokens"]
        async with asyncio.timeout(5):
            answer = await doors.https[0].delete(f"/workspaces/{one}/tokens/{token['id']}")
            assert answer.status_code == 200, answer.text
            with pytest.raises(ConnectionClosed) as closed:
                await receive_event(socket)

    assert closed.value.rcvd.code == 1008


async def test_the_stream_of_a_workspace_ends_when_it_is_removed_and_purged(doors):
    one, _ = await external(doors.plane, "one")
    async with open_event_stream(doors.https[1], one) as stream:
        answer = await doors.https[0].delete(f"/workspaces/{one}", params={"purge": "true"})
        assert answer.status_code == 200, answer.text
        told = await stream.rest()

    assert [heard["type"] for heard in told] == ["WORKSPACE_REMOVED"]


@pytest.mark.covers("BEY-18")
async def test_listeners_of_a_registry_that_dies_miss_nothing(doors):
    one, bearer = await external(doors.plane, "one")
    began = await last_event(doors, one)
    async with open_event_stream(doors.https[0], one) as stream, open_websocket(doors.urls[1], bearer=bearer) as socket:
        await doors.change_card(one, bearer, 1)
        doors.plane.kill("registry")
        sent = 1
        async with asyncio.timeout(60):
            while sent < 4:
                try:
                    await doors.change_card(one, bearer, sent + 1)
                    sent += 1
                except AssertionError:
                    await asyncio.sleep(0.2)
        last = await last_event(doors, one)

        async def told() -> dict[str, Any]:
            return await receive_event(socket)

        heard = await asyncio.gather(until_number(stream.event, last), until_number(told, last))

    assert heard[0] == heard[1] == await kept(doors, one, began)
