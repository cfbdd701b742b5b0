"""Tests kill processes while messages are sent; the plane restarts them and loses no workspace."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from deploy.plane import Plane
from deploy.processes import GATEWAY, SERVICES
from tests.databases import plane_database
from tests.e2e.conversation import create, get_answer_text, send, send_and_wait, wait_until_online
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

RESTART_TIME_LIMIT = 5.0
"""Seconds within which a killed process runs again."""


class Sender:
    """Sends messages without a pause and records the outcomes."""

    def __init__(self, plane: Plane, workspace_ids: list[str]) -> None:
        self._plane = plane
        self._workspace_ids = workspace_ids
        self.outcomes: Counter[str] = Counter()
        self.faults: list[str] = []
        self.last_answer = 0.0

    async def run(self) -> None:
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
            self._check(response, text)

    def _check(self, response: httpx.Response, text: str) -> None:
        self.outcomes[str(response.status_code)] += 1
        if response.status_code == 200:
            self.last_answer = time.monotonic()
            if get_answer_text(response) != text:
                self.faults.append(response.text)
        elif response.status_code not in {202, 502, 503}:  # 202: the agent is busy with a message whose caller is gone
            self.faults.append(f"{response.status_code} {response.text}")


@asynccontextmanager
async def run_sender(plane: Plane, workspace_ids: list[str]) -> AsyncIterator[Sender]:
    sender = Sender(plane, workspace_ids)
    sending = asyncio.ensure_future(sender.run())
    try:
        yield sender
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def names(plane: Plane) -> set[str]:
    return {workspace["name"] for workspace in (await plane.http.get("/workspaces")).json()}


@pytest.mark.covers("REG-36", "BEY-14")
async def test_the_plane_survives_the_kill_of_each_process_under_load(database_url):
    async with (
        plane_database(database_url) as url,
        Plane(backend="process", database_url=url, processes=True) as plane,
    ):
        workspace_ids = [await create(plane, f"agent {number}") for number in range(2)]
        await wait_until_online(plane, *workspace_ids)

        async with run_sender(plane, workspace_ids) as sender:
            for victim in (*SERVICES, GATEWAY):
                await eventually(lambda: sender.outcomes["200"] > 0)
                first = plane.pid(victim)
                plane.kill(victim)
                await eventually(lambda: plane.pid(victim) not in {None, first}, within=RESTART_TIME_LIMIT)  # noqa: B023 - used in this turn
                killed = time.monotonic()
                await eventually(lambda: sender.last_answer > killed, within=4 * RESTART_TIME_LIMIT)  # noqa: B023 - used in this turn
                await wait_until_online(plane, *workspace_ids)

        print(f"outcomes: {dict(sender.outcomes)}")  # noqa: T201 - a result for the log of the suite
        assert sender.faults == []
        assert await names(plane) == {"agent 0", "agent 1"}
        for workspace_id in workspace_ids:
            assert get_answer_text(await send_and_wait(plane, workspace_id, "well again")) == "well again"
