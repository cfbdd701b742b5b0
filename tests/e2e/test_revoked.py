"""Two gateways under load refuse revoked tokens in time, also when the feed of one is cut."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest

from deploy.plane import Plane
from tests.databases import plane_database
from tests.e2e import front_proxies
from tests.e2e.modes import PRODUCTION
from tests.e2e.principals import external
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

REQUESTS_PER_SECOND = 200
"""The rate over both gateways."""

FEED_TIME_LIMIT = 1.0
"""Seconds after a revocation within which a gateway with a running feed refuses the token."""

CACHE_TIME_LIMIT = 5.0
"""Seconds after a revocation within which a gateway without a feed refuses the token."""


@dataclass(slots=True, kw_only=True)
class ServedRequest:
    """A request that was answered with 200."""

    gateway: str
    workspace_id: str
    started_at: float


@dataclass(slots=True)
class Load:
    """Sends requests of all agents to all gateways in turn, at a constant rate."""

    http: aiohttp.ClientSession
    gateways: list[str]
    bearers: dict[str, str]
    served: list[ServedRequest] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)
    sent: int = 0
    started_at: float = field(default_factory=time.monotonic)

    async def run(self) -> None:
        turns = itertools.cycle(list(itertools.product(self.bearers, self.gateways)))
        async with asyncio.TaskGroup() as group:
            for number, (workspace_id, gateway) in enumerate(turns):
                await asyncio.sleep(self.started_at + number / REQUESTS_PER_SECOND - time.monotonic())
                group.create_task(self._send_request(gateway, workspace_id))

    async def _send_request(self, gateway: str, workspace_id: str) -> None:
        headers = {"Authorization": f"Bearer {self.bearers[workspace_id]}"}
        started_at = time.monotonic()
        self.sent += 1
        async with self.http.get(f"{gateway}/workspaces/{workspace_id}", headers=headers) as answer:
            self.statuses.add(answer.status)
            if answer.status == 200:
                self.served.append(ServedRequest(gateway=gateway, workspace_id=workspace_id, started_at=started_at))

    def latest(self, gateway: str, workspace_id: str, revoked_at: float) -> float:
        """Seconds from the revocation to the start of the last served request; negative if that started before it."""
        started = [
            request.started_at
            for request in self.served
            if (request.gateway, request.workspace_id) == (gateway, workspace_id)
        ]
        return max(started) - revoked_at


@asynccontextmanager
async def run_load(gateways: list[str], bearers: dict[str, str]) -> AsyncIterator[Load]:
    async with aiohttp.ClientSession() as http:
        load = Load(http, gateways, bearers)
        asking = asyncio.ensure_future(load.run())
        try:
            yield load
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)


@pytest.mark.covers("AUTH-06", "BEY-05")
async def test_no_request_with_a_revoked_token_is_served(database_url):
    async with (
        plane_database(database_url) as url,
        Plane(backend="none", database_url=url, env=PRODUCTION, processes=True) as plane,
        front_proxies.open_proxy(plane.address("auth")) as proxy,
    ):
        cut_off = await plane.start_gateway("deaf gateway", AUTH_TARGETS=proxy.address)
        bearers = dict([await external(plane, f"agent {number}") for number in range(6)])
        revoked_early, revoked_late = list(bearers)[:3], list(bearers)[3:]
        async with run_load([plane.url, cut_off], bearers) as load:
            await eventually(lambda: len(load.served) > REQUESTS_PER_SECOND, within=30)
            revoked = {each: await remove(plane, each) for each in revoked_early}
            await wait_until(max(revoked.values()) + 2 * FEED_TIME_LIMIT)
            proxy.cut = True
            revoked |= {each: await remove(plane, each) for each in revoked_late}
            await wait_until(max(revoked.values()) + CACHE_TIME_LIMIT + FEED_TIME_LIMIT)
            rate = load.sent / (time.monotonic() - load.started_at)

    with_feed = [load.latest(plane.url, each, when) for each, when in revoked.items()]
    with_feed += [load.latest(cut_off, each, revoked[each]) for each in revoked_early]
    without_feed = [load.latest(cut_off, each, revoked[each]) for each in revoked_late]
    latest = f"{max(with_feed):.3f} s after, {max(without_feed):.3f} s without the feed"
    print(f"{rate:.0f} requests/s; served at the latest {latest}")  # noqa: T201 - a result for the log of the suite
    assert load.statuses == {200, 401}
    assert max(with_feed) <= FEED_TIME_LIMIT
    assert max(without_feed) <= CACHE_TIME_LIMIT
    assert proxy.withheld, "the feed was never cut"


async def remove(plane: Plane, workspace_id: str) -> float:
    """Remove a workspace, which revokes its token; return the time of the answer."""
    answer = await plane.http.delete(f"/workspaces/{workspace_id}", headers=plane.admin, timeout=30)
    assert answer.status_code == 200, answer.text
    return time.monotonic()


async def wait_until(when: float) -> None:
    await eventually(lambda: time.monotonic() > when, within=60)
