"""Compares the answers of every route to every principal, in both modes, with `route_matrix.toml`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import httpx
import pytest

from deploy.plane import Plane
from tests.databases import plane_database
from tests.e2e import principals, route_matrix
from tests.e2e.modes import MODES
from tests.e2e.principals import Principal
from tests.e2e.route_matrix import PASSES, Route

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

METHODS = {"get", "put", "post", "patch", "delete"}

MAX_CONCURRENT_REQUESTS = 8
"""Enough to keep two cores busy, and few enough that no request waits for long."""

GATE_TEXTS = {"platform admin required", "org access denied", "token scope does not allow this"}
"""Texts with which a gate refuses an identified caller."""


@asynccontextmanager
async def open_plane(database_url: str, mode: str) -> AsyncIterator[tuple[Plane, list[Principal]]]:
    """A plane without agents in one of the modes, and its principals."""
    async with (
        plane_database(database_url) as url,
        Plane(backend="none", database_url=url, env=MODES[mode]) as plane,
    ):
        yield plane, await principals.create_principals(plane, url)


async def routes(plane: Plane) -> set[str]:
    """Return every route in the OpenAPI document."""
    document = (await plane.http.get("/openapi.json")).json()
    return {
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method in operations.keys() & METHODS
    }


@pytest.mark.covers("GW-06", "AUTH-09", "AUTH-21", "AUTH-22", "BEY-05")
@pytest.mark.parametrize("mode", MODES)
async def test_every_route_answers_every_principal_as_the_matrix_says(database_url, mode):
    async with open_plane(database_url, mode) as (plane, callers):
        table = route_matrix.load_routes()
        assert {route.name for route in table} == await routes(plane)

        pairs = [(route, principal) for route in table for principal in callers]
        wrong = await check_all(plane, pairs, is_open=mode == "open")
        wrong += [line for route in table for line in await check_system_caller(plane, route, callers[-1])]

    print(f"{len(table)} doors, {len(callers)} callers, {len(pairs)} knocks")  # noqa: T201 - a result for the log of the suite
    assert wrong == []


async def check_all(plane: Plane, pairs: list[tuple[Route, Principal]], *, is_open: bool) -> list[str]:
    """Call every route as every principal; return a line for each unexpected answer."""
    semaphore, number = asyncio.Semaphore(MAX_CONCURRENT_REQUESTS), count(1)

    async def check(route: Route, principal: Principal) -> str | None:
        async with semaphore:
            answer, passed = await send(plane, route, principal, address=next(number))
        body = route.expect(principal.name, is_open=is_open)
        is_expected = passed if body == PASSES else answer == body
        return None if is_expected else f"{route.name} as {principal.name}: {body!r} expected, heard {answer!r}"

    found = await asyncio.gather(*(check(route, principal) for route, principal in pairs))
    return [line for line in found if line]


async def check_system_caller(plane: Plane, route: Route, principal: Principal) -> list[str]:
    """Call a route with a caller id that is reserved for the plane; return a line if it is not refused."""
    answer, _ = await send(plane, route, principal, address=0, **{"X-Workspace-ID": "system:scheduler"})
    return [] if answer == "403 invalid caller ID" else [f"{route.name} as the plane itself: {answer}"]


async def send(plane: Plane, route: Route, principal: Principal, *, address: int, **more: str) -> tuple[str, bool]:
    """Return status and text of the answer, and whether the gate was passed. The body of a stream is not read."""
    sent_from = {"X-Forwarded-For": f"10.0.{address // 250}.{address % 250 + 1}"}
    headers = {**principal.headers, **sent_from, **more}
    request = plane.http.build_request(
        route.method,
        route.path_for(principal.target),
        json=route.body_for(principal.target),
        headers=headers,
        timeout=30,
    )
    response = await plane.http.send(request, stream=True)
    try:
        return await _classify(response)
    finally:
        await response.aclose()


async def _classify(response: httpx.Response) -> tuple[str, bool]:
    if response.status_code < 400:
        return str(response.status_code), True
    await response.aread()
    body = route_matrix.read_members(response.json())
    text = body.get("error", "") if isinstance(body.get("error", ""), str) else "JSON-RPC error"
    refused = (
        response.status_code in {401, 500}
        or body.get("code") == "platform_unavailable"
        or (response.status_code == 403 and text in GATE_TEXTS)
    )
    scope = f" ({body['required_scope']})" if "required_scope" in body else ""
    return f"{response.status_code} {text}{scope}", not refused
