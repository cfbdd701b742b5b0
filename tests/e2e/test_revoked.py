"""Revoked means revoked: on two gateways under load, with their feeds and without one of them."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest

from deploy.plane import Plane, fresh_database
from tests.e2e import front_proxies
from tests.e2e.modes import PRODUCTION
from tests.e2e.principals import external
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

PER_SECOND = 200
"""Requests on both gateways together."""

TOLD_WITHIN = 1.0
"""Seconds after a revocation has returned from which nobody is served, while the feeds run."""

OLD_AFTER = 5.0
"""The same where a gateway hears nothing any more."""


@dataclass(slots=True, kw_only=True)
class Served:
    """A request that was answered with what it asked for."""

    gateway: str
    workspace_id: str
    began: float


@dataclass(slots=True)
class Load:
    """Agents that never stop asking, in turn, at every gateway in turn."""

    http: aiohttp.ClientSession
    gateways: list[str]
    bearers: dict[str, str]
    served: list[Served] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)
    sent: int = 0
    began: float = field(default_factory=time.monotonic)

    async def run(self) -> None:
        turns = itertools.cycle(list(itertools.product(self.bearers, self.gateways)))
        async with asyncio.TaskGroup() as group:
            for number, (workspace_id, gateway) in enumerate(turns):
                await asyncio.sleep(self.began + number / PER_SECOND - time.monotonic())
                group.create_task(self._ask(gateway, workspace_id))

    async def _ask(self, gateway: str, workspace_id: str) -> None:
        headers = {"Authorization": f"Bearer {self.bearers[workspace_id]}"}
        began = time.monotonic()
        self.sent += 1
        async with self.http.get(f"{gateway}/workspaces/{workspace_id}", headers=headers) as answer:
            self.statuses.add(answer.status)
            if answer.status == 200:
                self.served.append(Served(gateway=gateway, workspace_id=workspace_id, began=began))

    def latest(self, gateway: str, workspace_id: str, revoked_at: float) -> float:
        """How long after the revocation the last request began that was served; negative if none was."""
        begun = [one.began for one in self.served if (one.gateway, one.workspace_id) == (gateway, workspace_id)]
        return max(begun) - revoked_at


@asynccontextmanager
async def loaded(gateways: list[str], bearers: dict[str, str]) -> AsyncIterator[Load]:
    async with aiohttp.ClientSession() as http:
        load = Load(http, gateways, bearers)
        asking = asyncio.ensure_future(load.run())
        try:
            yield load
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)


@pytest.mark.covers("AUTH-06", "BEY-05")
async def test_nobody_is_served_on_what_was_revoked(database_url):
    async with (
        fresh_database(database_url) as url,
        Plane(backend="none", database_url=url, env=PRODUCTION, processes=True) as plane,
        front_proxies.before(plane.address("auth")) as front,
    ):
        deaf = await plane.start_gateway("deaf gateway", AUTH_TARGETS=front.address)
        bearers = dict([await external(plane, f"agent {number}") for number in range(6)])
        hearing, unheard = list(bearers)[:3], list(bearers)[3:]
        async with loaded([plane.url, deaf], bearers) as load:
            await eventually(lambda: len(load.served) > PER_SECOND, within=30)
            revoked = {each: await removed(plane, each) for each in hearing}
            await passed(max(revoked.values()) + 2 * TOLD_WITHIN)
            front.cut = True
            revoked |= {each: await removed(plane, each) for each in unheard}
            await passed(max(revoked.values()) + OLD_AFTER + TOLD_WITHIN)
            rate = load.sent / (time.monotonic() - load.began)

    told = [load.latest(plane.url, each, when) for each, when in revoked.items()]
    told += [load.latest(deaf, each, revoked[each]) for each in hearing]
    untold = [load.latest(deaf, each, revoked[each]) for each in unheard]
    print(f"{rate:.0f} requests/s; served at the latest {max(told):.3f} s after, {max(untold):.3f} s without the feed")  # noqa: T201 - the suite says what it saw
    assert load.statuses == {200, 401}
    assert max(told) <= TOLD_WITHIN
    assert max(untold) <= OLD_AFTER
    assert front.withheld, "the feed was never cut"


async def removed(plane: Plane, workspace_id: str) -> float:
    """Remove a workspace, which revokes its token; when that returned."""
    answer = await plane.http.delete(f"/workspaces/{workspace_id}", headers=plane.admin, timeout=30)
    assert answer.status_code == 200, answer.text
    return time.monotonic()


async def passed(when: float) -> None:
    await eventually(lambda: time.monotonic() > when, within=60)
