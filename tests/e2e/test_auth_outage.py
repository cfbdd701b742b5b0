"""A plane that cannot identify callers refuses them all, and recovers without a restart."""

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
from tests.e2e.route_matrix import Route
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

CACHE_TIME_LIMIT = 10.0
"""Seconds after which cached identities may no longer be used."""

RECOVERY_TIME_LIMIT = 30.0
"""Seconds within which all routes work again on a machine that runs tests."""

OPERATIONS = {"GET /metrics", "GET /admin/liveness"}
"""Routes that operators need during an outage: the gateway checks the admin token itself."""

GATED = [route for route in route_matrix.load_routes() if route.gate.missing and route.name not in OPERATIONS]

UNAVAILABLE = 503

UNAVAILABLE_STATUSES = {401, 500, UNAVAILABLE}

NO_AGENT = -1
"""Stands for the refusal of a route that needs the agent of the target."""

Outage = Callable[[Plane], Awaitable[None]]


async def suspend_auth(plane: Plane) -> None:
    plane.suspend("auth")


async def resume_auth(plane: Plane) -> None:
    plane.resume("auth")


async def stop_auth(plane: Plane) -> None:
    await plane.stop("auth")


async def start_auth(plane: Plane) -> None:
    plane.start("auth")


async def stop_database(plane: Plane) -> None:
    await plane.stop("postgres")


async def start_database(plane: Plane) -> None:
    plane.start("postgres")


OUTAGES: dict[str, tuple[Outage, Outage]] = {
    "auth takes everything and says nothing": (suspend_auth, resume_auth),
    "auth is gone, and its feed with it": (stop_auth, start_auth),
    "PostgreSQL is gone": (stop_database, start_database),
}


class Caller:
    """Calls every gated route as a principal that may use it."""

    def __init__(self, plane: Plane, target: str, bearers: dict[str, str]) -> None:
        self._plane = plane
        self._addresses = count()
        self._principals = {
            name: Principal(name=name, bearer=bearer, target=target) for name, bearer in bearers.items()
        }

    async def statuses(self) -> dict[str, int]:
        """The status of each gated route."""
        found = await asyncio.gather(*(self._status(route) for route in GATED))
        return {route.name: status for route, status in zip(GATED, found, strict=True)}

    async def operations(self) -> dict[str, int]:
        """The status of the routes that stay open to the operator."""
        operator_routes = [route for route in route_matrix.load_routes() if route.name in OPERATIONS]
        return {route.name: await self._status(route) for route in operator_routes}

    async def _status(self, route: Route) -> int:
        principal = self._principals["same" if "same" in route.gate.passes else "admin"]
        request = self._plane.http.build_request(
            route.method,
            route.path_for(principal.target),
            json=route.body_for(principal.target),
            headers={**principal.headers, "X-Forwarded-For": f"192.0.2.{next(self._addresses) % 250}"},
            timeout=60,
        )
        response = await self._plane.http.send(request, stream=True)
        try:
            return await _read_status(response)
        finally:
            await response.aclose()


async def _read_status(response: httpx.Response) -> int:
    """Return the status; `NO_AGENT` for a 503 that is about the target, which has no agent here."""
    if response.status_code != UNAVAILABLE:
        return response.status_code
    await response.aread()
    return UNAVAILABLE if route_matrix.read_members(response.json()).get("code") == "platform_unavailable" else NO_AGENT


@asynccontextmanager
async def open_plane() -> AsyncIterator[tuple[Plane, Caller]]:
    async with Plane(backend="none", env=PRODUCTION, processes=True) as plane:
        root, _ = await external(plane, "root")
        target, same = await external(plane, "target", parent_id=root)
        await external(plane, "child", parent_id=target)
        admin = plane.admin["Authorization"].removeprefix("Bearer ")
        yield plane, Caller(plane, target, {"same": same, "admin": admin})


@pytest.mark.covers("BEY-05")
async def test_during_an_auth_outage_every_gated_route_refuses_and_recovers_without_a_restart():
    async with open_plane() as (plane, caller):
        before = await caller.statuses()
        assert not UNAVAILABLE_STATUSES & set(before.values()), before
        for name, (begin, end) in OUTAGES.items():
            await begin(plane)
            try:
                seconds = await wait_until_closed(caller)
                assert set((await caller.operations()).values()) == {200}
            finally:
                await end(plane)
            print(f"{name}: closed after {seconds:.1f} s")  # noqa: T201 - a result for the log of the suite
            await eventually(lambda: is_recovered(caller), within=RECOVERY_TIME_LIMIT)
        remaining = (await plane.http.get("/workspaces", headers=plane.admin)).json()
        assert {workspace["name"] for workspace in remaining} == {"root", "target", "child"}


async def written(plane: Plane, target: str) -> tuple[set[str], int]:
    """What a request can leave behind: workspaces, and messages that were taken."""
    workspaces = (await plane.http.get("/workspaces", headers=plane.admin)).json()
    activity = (await plane.http.get(f"/workspaces/{target}/activity", headers=plane.admin)).json()
    return {workspace["name"] for workspace in workspaces}, len(activity)


async def wait_until_closed(caller: Caller) -> float:
    """Return the seconds until every gated route answers 503."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while True:
        request_time = loop.time()
        statuses = await caller.statuses()
        still = {name: status for name, status in statuses.items() if status != 503}
        if not still:
            return request_time - began
        assert request_time - began < CACHE_TIME_LIMIT, str(still)


async def is_recovered(caller: Caller) -> bool:
    """Whether no gated route answers with the status of an outage."""
    try:
        return not UNAVAILABLE_STATUSES & set((await caller.statuses()).values())
    except httpx.TransportError:
        return False
