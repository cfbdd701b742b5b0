"""A plane whose PostgreSQL stops, recovers and hangs: 503 until it answers again, and no process ends."""

import time
from collections import Counter

import httpx
import pytest

from deploy.plane import Plane
from deploy.processes import GATEWAY, SERVICES
from tests.e2e.conversation import create, get_answer_text, get_workspace, send_and_wait, wait_until_online
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PROCESSES = (*SERVICES, GATEWAY)

POSTGRES = "postgres"


class Caller:
    """Sends requests that need the database, and records the answers."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self.statuses: Counter[int] = Counter()
        self.faults: list[str] = []

    async def call(self) -> int:
        answer = await self._plane.http.get("/workspaces", timeout=30)
        self.statuses[answer.status_code] += 1
        is_expected = answer.status_code == 200 or (answer.status_code == 503 and "Retry-After" in answer.headers)
        if not is_expected:
            self.faults.append(f"{answer.status_code} {answer.text}")
        return answer.status_code

    async def has_failed(self) -> bool:
        return await self.call() != 200

    async def has_succeeded(self) -> bool:
        return await self.call() == 200


async def read_readiness(plane: Plane) -> tuple[int, dict[str, str]]:
    answer = await plane.http.get("/ready", timeout=30)
    causes = {name: check.get("detail", "") for name, check in answer.json()["checks"].items()}
    return answer.status_code, causes


async def is_ready(plane: Plane) -> bool:
    return (await read_readiness(plane))[0] == 200


def count_exits(plane: Plane) -> dict[str, int]:
    return {name: plane.count_exits(name) for name in PROCESSES}


@pytest.mark.covers("DWN-01", "DWN-02", "DWN-03", "DWN-04")
async def test_a_database_that_stops_recovers_and_hangs_ends_no_process():
    async with Plane(backend="process", processes=True) as plane:
        workspace_id = await create(plane)
        await wait_until_online(plane, workspace_id)
        status_event_id = (await get_workspace(plane, workspace_id))["status_event_id"]
        caller = Caller(plane)
        exits = count_exits(plane)

        for _ in range(3):
            first = plane.pid(POSTGRES)
            plane.kill(POSTGRES)  # it recovers after the restart
            await eventually(lambda: plane.pid(POSTGRES) not in {None, first}, within=20)  # noqa: B023 - used in this turn
            await eventually(caller.has_succeeded, within=60)

        await plane.stop(POSTGRES)
        await eventually(caller.has_failed, within=20)
        stopped_status, stopped_causes = await read_readiness(plane)
        plane.start(POSTGRES)
        await eventually(caller.has_succeeded, within=60)
        await eventually(lambda: is_ready(plane), within=30)

        plane.suspend(POSTGRES)
        suspended = time.monotonic()
        await eventually(lambda: _is_down(plane), within=20)
        status, causes = await read_readiness(plane)
        while time.monotonic() < suspended + 12:
            await caller.call()
        plane.resume(POSTGRES)
        await eventually(lambda: is_ready(plane), within=60)
        await eventually(caller.has_succeeded, within=60)

        assert (stopped_status, stopped_causes["registry"]) == (503, "database does not answer")
        assert (status, causes["registry"], causes["auth"]) == (
            503,
            "database does not answer",
            "database does not answer",
        )
        assert count_exits(plane) == exits
        for name in PROCESSES:
            log = plane.read_log(name)
            assert "Traceback" not in log, log
            assert log.count("outage begins") < 60
        assert caller.faults == [], plane.read_log(GATEWAY)
        assert get_answer_text(await send_and_wait(plane, workspace_id, "well again")) == "well again"
        assert (await get_workspace(plane, workspace_id))["status_event_id"] == status_event_id


async def _is_down(plane: Plane) -> bool:
    try:
        return (await read_readiness(plane))[0] == 503
    except httpx.TransportError:
        return False
