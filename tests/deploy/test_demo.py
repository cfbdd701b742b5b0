"""How long `molecule up` waits for the demo team."""

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from deploy import demo


def open_plane_with(*statuses: str) -> httpx.AsyncClient:
    """Return a client of a plane whose workspaces have these statuses, and whose agents are in containers."""
    workspaces = [{"id": str(place), "status": status, "url": ""} for place, status in enumerate(statuses)]

    async def answer(_: Request) -> JSONResponse:
        return JSONResponse(workspaces)

    plane = Starlette(routes=[Route("/workspaces", answer)])
    return httpx.AsyncClient(transport=httpx.ASGITransport(plane), base_url="http://plane")


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("status", "is_online"), [("paused", True), ("hibernated", True), ("failed", False)])
async def test_the_start_does_not_wait_for_a_member_that_is_stopped(status, is_online):
    async with open_plane_with("online", status) as plane:
        assert await demo.wait_until_online(plane, frozenset({"0", "1"})) is is_online


async def test_the_start_waits_for_a_member_that_starts(monkeypatch):
    monkeypatch.setattr(demo, "ONLINE_TIMEOUT_SECONDS", 0.2)

    async with open_plane_with("online", "provisioning") as plane:
        assert await demo.wait_until_online(plane, frozenset({"0", "1"})) is False
