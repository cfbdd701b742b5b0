"""Every door of the plane, every kind of caller, both modes: the table in `doors.toml` against what is answered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import httpx
import pytest

from deploy.plane import Plane, fresh_database
from tests.e2e import principals, route_matrix
from tests.e2e.modes import MODES
from tests.e2e.principals import Principal
from tests.e2e.route_matrix import PASSES, Door

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

METHODS = {"get", "put", "post", "patch", "delete"}

AT_ONCE = 8
"""Requests under way: enough to keep two cores busy, few enough to wait for no one."""

GATE_TEXTS = {"platform admin required", "org access denied", "token scope does not allow this"}
"""What a gate says to somebody it knows, and does not let in."""


@asynccontextmanager
async def standing(database_url: str, mode: str) -> AsyncIterator[tuple[Plane, list[Principal]]]:
    """A plane without agents in one of the modes, and everybody who will knock."""
    async with fresh_database(database_url) as url, Plane(backend="none", database_url=url, env=MODES[mode]) as plane:
        yield plane, await principals.cast(plane, url)


async def routes(plane: Plane) -> set[str]:
    """Every route that the plane says it has."""
    document = (await plane.http.get("/openapi.json")).json()
    return {
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method in operations.keys() & METHODS
    }


@pytest.mark.covers("GW-06", "AUTH-09", "AUTH-21", "AUTH-22", "BEY-05")
@pytest.mark.parametrize("mode", MODES)
async def test_every_door_opens_to_those_it_should_and_to_nobody_else(database_url, mode):
    async with standing(database_url, mode) as (plane, everybody):
        table = route_matrix.read()
        assert {door.name for door in table} == await routes(plane)

        pairs = [(door, principal) for door in table for principal in everybody]
        wrong = await knocked(plane, pairs, is_open=mode == "open")
        wrong += [line for door in table for line in await pretended(plane, door, everybody[-1])]

    print(f"{len(table)} doors, {len(everybody)} callers, {len(pairs)} knocks")  # noqa: T201 - the suite says what it did
    assert wrong == []


async def knocked(plane: Plane, pairs: list[tuple[Door, Principal]], *, is_open: bool) -> list[str]:
    """Knock at every door as everybody; a line for each answer that is not the expected one."""
    room, number = asyncio.Semaphore(AT_ONCE), count(1)

    async def knock(door: Door, principal: Principal) -> str | None:
        async with room:
            heard, passed = await answer(plane, door, principal, address=next(number))
        wanted = door.expects(principal.name, is_open=is_open)
        met = passed if wanted == PASSES else heard == wanted
        return None if met else f"{door.name} as {principal.name}: {wanted!r} expected, heard {heard!r}"

    found = await asyncio.gather(*(knock(door, principal) for door, principal in pairs))
    return [line for line in found if line]


async def pretended(plane: Plane, door: Door, principal: Principal) -> list[str]:
    """Knock under a name that only the plane itself gives."""
    heard, _ = await answer(plane, door, principal, address=0, **{"X-Workspace-ID": "system:scheduler"})
    return [] if heard == "403 invalid caller ID" else [f"{door.name} as the plane itself: {heard}"]


async def answer(plane: Plane, door: Door, principal: Principal, *, address: int, **more: str) -> tuple[str, bool]:
    """Status and text of the answer, and whether it means that the gate was passed. A stream is not waited for."""
    sent_from = {"X-Forwarded-For": f"10.0.{address // 250}.{address % 250 + 1}"}
    headers = {**principal.headers, **sent_from, **more}
    request = plane.http.build_request(
        door.method, door.at(principal.target), json=door.sent(principal.target), headers=headers, timeout=30
    )
    response = await plane.http.send(request, stream=True)
    try:
        return await _judged(response)
    finally:
        await response.aclose()


async def _judged(response: httpx.Response) -> tuple[str, bool]:
    if response.status_code < 400:
        return str(response.status_code), True
    await response.aread()
    body = response.json()
    said = body.get("error", "") if isinstance(body.get("error", ""), str) else "JSON-RPC error"
    refused = (
        response.status_code in {401, 500}
        or body.get("code") == "platform_unavailable"
        or (response.status_code == 403 and said in GATE_TEXTS)
    )
    scope = f" ({body['required_scope']})" if "required_scope" in body else ""
    return f"{response.status_code} {said}{scope}", not refused
