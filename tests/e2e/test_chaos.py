"""Processes are killed while messages pass; the plane heals by itself, and nothing created is lost."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from deploy.plane import Plane, fresh_database
from deploy.processes import GATEWAY, SERVICES
from tests.e2e.conversation import answered, create, online, send
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

HEALED = 5.0
"""Seconds after which a plane with a killed service answers again."""


class Chatter:
    """Somebody who never stops sending."""

    def __init__(self, plane: Plane, workspace_ids: list[str]) -> None:
        self._plane = plane
        self._workspace_ids = workspace_ids
        self.outcomes: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.last_answer = 0.0

    async def talk(self) -> None:
        number = 0
        while True:
            number += 1
            text = f"message {number}"
            try:
                response = await send(self._plane, self._workspace_ids[number % len(self._workspace_ids)], text)
            except httpx.TransportError as error:
                self.outcomes[type(error).__name__] += 1
                await asyncio.sleep(0.02)
                continue
            self._judge(response, text)

    def _judge(self, response: httpx.Response, text: str) -> None:
        self.outcomes[str(response.status_code)] += 1
        if response.status_code == 200:
            self.last_answer = time.monotonic()
            if answered(response) != text:
                self.wrong.append(response.text)
        elif response.status_code not in {502, 503}:
            self.wrong.append(f"{response.status_code} {response.text}")


@asynccontextmanager
async def chatting(plane: Plane, workspace_ids: list[str]) -> AsyncIterator[Chatter]:
    chatter = Chatter(plane, workspace_ids)
    talking = asyncio.ensure_future(chatter.talk())
    try:
        yield chatter
    finally:
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)


async def names(plane: Plane) -> set[str]:
    return {workspace["name"] for workspace in (await plane.http.get("/workspaces")).json()}


@pytest.mark.covers("REG-36", "BEY-14")
async def test_each_process_is_killed_in_turn_while_messages_pass(database_url):
    async with (
        fresh_database(database_url) as url,
        Plane(backend="process", database_url=url, processes=True) as plane,
    ):
        workspace_ids = [await create(plane, f"agent {number}") for number in range(2)]
        await online(plane, *workspace_ids)

        async with chatting(plane, workspace_ids) as chatter:
            for victim in (*SERVICES, GATEWAY):
                await eventually(lambda: chatter.outcomes["200"] > 0)
                first = plane.pid(victim)
                plane.kill(victim)
                await eventually(lambda: plane.pid(victim) not in {None, first}, within=HEALED)  # noqa: B023 - asked now
                killed = time.monotonic()
                await eventually(lambda: chatter.last_answer > killed, within=4 * HEALED)  # noqa: B023 - asked now
                await online(plane, *workspace_ids)

        print(f"outcomes: {dict(chatter.outcomes)}")  # noqa: T201 - the suite says what it did
        assert chatter.wrong == []
        assert await names(plane) == {"agent 0", "agent 1"}
        for workspace_id in workspace_ids:
            assert answered(await send(plane, workspace_id, "well again")) == "well again"
