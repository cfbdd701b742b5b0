import os
from contextlib import AsyncExitStack
from signal import SIGKILL

import httpx
import psutil
import pytest

from deploy.plane import SERVICES_IN_START_ORDER, Plane, fresh_database
from deploy.processes import SERVICES
from tests.waiting import eventually

pytestmark = pytest.mark.e2e

EXTERNAL = {"name": "Outside", "runtime": "external", "delivery_mode": "poll"}


async def names(plane: Plane) -> list[str]:
    return [workspace["name"] for workspace in (await plane.http.get("/workspaces", headers=plane.admin)).json()]


async def created(plane: Plane, body: dict) -> str:
    answer = await plane.http.post("/workspaces", json=body, headers=plane.admin)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def test_the_plane_in_one_loop_has_the_services_of_make_up():
    assert tuple(service.name for service in SERVICES_IN_START_ORDER) == SERVICES


async def test_a_plane_stands_in_one_loop_and_leaves_nothing(database_url):
    async with fresh_database(database_url) as url:
        async with Plane(backend="fake", database_url=url) as plane:
            await created(plane, EXTERNAL)
            assert await names(plane) == ["Outside"]

        with pytest.raises(httpx.ConnectError):
            await httpx.AsyncClient(base_url=plane.url).get("/health")


async def test_a_closed_plane_knows_its_administrator(database_url):
    async with (
        fresh_database(database_url) as url,
        Plane(backend="none", database_url=url, env={"ADMIN_TOKEN": "let me in"}) as plane,
    ):
        assert (await plane.http.get("/workspaces")).status_code == 401
        assert await names(plane) == []


async def test_two_planes_on_one_postgresql_do_not_meet(database_url):
    async with AsyncExitStack() as standing:
        planes = []
        for _ in range(2):
            url = await standing.enter_async_context(fresh_database(database_url))
            planes.append(await standing.enter_async_context(Plane(backend="none", database_url=url)))
        await created(planes[0], EXTERNAL)

        assert await names(planes[1]) == []


async def test_a_home_that_is_kept_keeps_what_was_created(home):
    async with Plane(backend="none", home=home) as plane:
        await created(plane, EXTERNAL)

    async with Plane(backend="none", home=home, processes=True) as plane:
        assert await names(plane) == ["Outside"]


@pytest.mark.parametrize("victim", [*SERVICES, "gateway"])
async def test_a_killed_process_comes_back_and_nothing_created_is_lost(database_url, victim):
    async with (
        fresh_database(database_url) as url,
        Plane(backend="none", database_url=url, processes=True) as plane,
    ):
        await created(plane, EXTERNAL)
        first = plane.pid(victim)

        plane.kill(victim)
        await eventually(lambda: plane.pid(victim) not in (None, first))

        async def answers() -> bool:
            try:
                return await names(plane) == ["Outside"]
            except (httpx.TransportError, TypeError):
                return False

        await eventually(answers, within=10)


async def test_demo_agents_of_a_killed_plane_are_found_again_and_end_with_the_next(home):
    async with Plane(backend="process", home=home, processes=True) as plane:
        workspace_id = await created(plane, {"name": "Echo", "runtime": "echo"})
        await eventually(lambda: status(plane, workspace_id, "online"), within=20)
        before = agents(home)
        os.kill(plane.pid("provisioner"), SIGKILL)
        await eventually(lambda: plane.pid("provisioner"), within=5)

        await eventually(lambda: status(plane, workspace_id, "online"), within=20)

        assert agents(home) == before

    assert agents(home) == set()


async def status(plane: Plane, workspace_id: str, wanted: str) -> bool:
    return (await plane.http.get(f"/workspaces/{workspace_id}", headers=plane.admin)).json()["status"] == wanted


def agents(home) -> set[int]:
    """Who runs with something of this home, the services of the plane aside."""
    found = set()
    for process in psutil.process_iter():
        try:
            if any(str(home / "workspaces") in value for value in process.environ().values()):
                found.add(process.pid)
        except psutil.Error:
            continue
    return found
