"""A plane that cannot ask who is calling lets nobody in, and comes back by itself."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count

import httpx
import pytest

from deploy.plane import Plane
from tests.e2e import route_matrix
from tests.e2e.modes import PRODUCTION
from tests.e2e.principals import Principal, external
from tests.e2e.route_matrix import Door
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

BLIND_WITHIN = 10.0
"""Seconds after which nothing that was learnt before an outage may be used."""

RECOVERED_WITHIN = 30.0
"""Seconds within which everything works again, on a machine that is busy with tests."""

OPERATIONS = {"GET /metrics", "GET /admin/liveness"}
"""What the operator must see just then: the gateway knows the operator by itself there."""

GATED = [door for door in route_matrix.read() if door.gate.missing and door.name not in OPERATIONS]

SHUT = {401, 500, 503}

Outage = Callable[[Plane], Awaitable[None]]


async def auth_frozen(plane: Plane) -> None:
    plane.suspend("auth")


async def auth_thawed(plane: Plane) -> None:
    plane.resume("auth")


async def auth_stopped(plane: Plane) -> None:
    await plane.stop("auth")


async def auth_started(plane: Plane) -> None:
    plane.start("auth")


async def database_stopped(plane: Plane) -> None:
    await plane.stop("postgres")


async def database_started(plane: Plane) -> None:
    plane.start("postgres")


OUTAGES: dict[str, tuple[Outage, Outage]] = {
    "auth takes everything and says nothing": (auth_frozen, auth_thawed),
    "auth is gone, and its feed with it": (auth_stopped, auth_started),
    "PostgreSQL is gone": (database_stopped, database_started),
}


class Caller:
    """Knocks at every gated door, each time as somebody whom it lets in."""

    def __init__(self, plane: Plane, target: str, bearers: dict[str, str]) -> None:
        self._plane = plane
        self._addresses = count()
        self._everybody = {name: Principal(name=name, bearer=bearer, target=target) for name, bearer in bearers.items()}

    async def statuses(self) -> dict[str, int]:
        """What each door answers."""
        found = await asyncio.gather(*(self._status(door) for door in GATED))
        return {door.name: status for door, status in zip(GATED, found, strict=True)}

    async def operations(self) -> dict[str, int]:
        """What the operator is answered at the doors that never close to it."""
        known = [door for door in route_matrix.read() if door.name in OPERATIONS]
        return {door.name: await self._status(door) for door in known}

    async def _status(self, door: Door) -> int:
        somebody = self._everybody["same" if "same" in door.gate.passes else "admin"]
        request = self._plane.http.build_request(
            door.method,
            door.at(somebody.target),
            json=door.sent(somebody.target),
            headers={**somebody.headers, "X-Forwarded-For": f"192.0.2.{next(self._addresses) % 250}"},
            timeout=20,
        )
        response = await self._plane.http.send(request, stream=True)
        await response.aclose()
        return response.status_code


@asynccontextmanager
async def standing() -> AsyncIterator[tuple[Plane, Caller]]:
    async with Plane(backend="none", env=PRODUCTION, processes=True) as plane:
        root, _ = await external(plane, "root")
        target, same = await external(plane, "target", parent_id=root)
        await external(plane, "child", parent_id=target)
        admin = plane.admin["Authorization"].removeprefix("Bearer ")
        yield plane, Caller(plane, target, {"same": same, "admin": admin})


@pytest.mark.covers("BEY-05")
async def test_who_cannot_ask_lets_nobody_in_and_needs_no_restart_to_recover():
    async with standing() as (plane, caller):
        before = await caller.statuses()
        assert not SHUT & set(before.values()), before
        for name, (begin, end) in OUTAGES.items():
            await begin(plane)
            try:
                took = await until_closed(caller)
                assert set((await caller.operations()).values()) == {200}
            finally:
                await end(plane)
            print(f"{name}: closed after {took:.1f} s")  # noqa: T201 - the suite says what it saw
            await eventually(lambda: recovered(caller), within=RECOVERED_WITHIN)
        left = (await plane.http.get("/workspaces", headers=plane.admin)).json()
        assert {workspace["name"] for workspace in left} == {"root", "target", "child"}


async def written(plane: Plane, target: str) -> tuple[set[str], int]:
    """What a request can leave behind: workspaces, and messages that were taken."""
    workspaces = (await plane.http.get("/workspaces", headers=plane.admin)).json()
    activity = (await plane.http.get(f"/workspaces/{target}/activity", headers=plane.admin)).json()
    return {workspace["name"] for workspace in workspaces}, len(activity)


async def until_closed(caller: Caller) -> float:
    """Seconds until every gated door is closed; what was learnt before grows old and never young again."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while True:
        asked = loop.time()
        statuses = await caller.statuses()
        still = {name: status for name, status in statuses.items() if status != 503}
        if not still:
            return asked - began
        assert asked - began < BLIND_WITHIN, str(still)


async def recovered(caller: Caller) -> bool:
    """Whether every door opens again, to whatever its state then says."""
    try:
        return not SHUT & set((await caller.statuses()).values())
    except httpx.TransportError:
        return False
