"""The plane that tests and benchmarks run."""

import os
import re
from contextlib import AsyncExitStack
from signal import SIGKILL

import httpx
import psutil
import pytest

from deploy import settings_file
from deploy.plane import SERVICES_IN_START_ORDER, Plane, fresh_database
from deploy.processes import SERVICES
from tests.waiting import eventually

pytestmark = pytest.mark.e2e

EXTERNAL = {"name": "Outside", "runtime": "external", "delivery_mode": "poll"}


async def list_names(plane: Plane) -> list[str]:
    return [workspace["name"] for workspace in (await plane.http.get("/workspaces", headers=plane.admin)).json()]


async def create_workspace(plane: Plane, body: dict) -> str:
    answer = await plane.http.post("/workspaces", json=body, headers=plane.admin)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def test_plane_in_one_loop_has_the_same_services_as_molecule_up():
    assert tuple(service.name for service in SERVICES_IN_START_ORDER) == SERVICES


async def test_plane_in_one_loop_runs_and_stops(database_url):
    async with fresh_database(database_url) as url:
        async with Plane(backend="fake", database_url=url) as plane:
            await create_workspace(plane, EXTERNAL)
            assert await list_names(plane) == ["Outside"]

        with pytest.raises(httpx.ConnectError):
            await httpx.AsyncClient(base_url=plane.url).get("/health")


@pytest.mark.covers("OPS-01")
async def test_the_whole_settings_file_without_its_comment_signs_starts_a_plane(database_url):
    listed = dict(re.findall(r"^#([A-Z0-9_]+)=(.*)$", settings_file.FILE.read_text(), re.MULTILINE))
    chosen_by_plane = {"PORT", "MOLECULE_HOME", "BACKEND", "DATABASE_URL", "DEMO"}
    given = {name: value for name, value in listed.items() if name not in chosen_by_plane}

    async with (
        fresh_database(database_url) as url,
        Plane(
            backend="none",
            database_url=url,
            env=given | {"AGENT_URL_ALLOWED_CIDRS": "10.0.0.0/8, fd00::/8"},
            processes=True,
        ) as plane,
    ):
        assert await list_names(plane) == []


async def test_plane_with_an_admin_token_requires_it(database_url):
    async with (
        fresh_database(database_url) as url,
        Plane(backend="none", database_url=url, env={"ADMIN_TOKEN": "let me in"}) as plane,
    ):
        assert (await plane.http.get("/workspaces")).status_code == 401
        assert await list_names(plane) == []


async def test_two_planes_on_one_postgresql_are_separate(database_url):
    async with AsyncExitStack() as stack:
        planes = []
        for _ in range(2):
            url = await stack.enter_async_context(fresh_database(database_url))
            planes.append(await stack.enter_async_context(Plane(backend="none", database_url=url)))
        await create_workspace(planes[0], EXTERNAL)

        assert await list_names(planes[1]) == []


async def test_home_keeps_workspaces_between_planes(home):
    async with Plane(backend="none", home=home) as plane:
        await create_workspace(plane, EXTERNAL)

    async with Plane(backend="none", home=home, processes=True) as plane:
        assert await list_names(plane) == ["Outside"]


@pytest.mark.parametrize("victim", [*SERVICES, "gateway"])
async def test_killed_process_is_restarted_and_no_workspace_is_lost(database_url, victim):
    async with (
        fresh_database(database_url) as url,
        Plane(backend="none", database_url=url, processes=True) as plane,
    ):
        await create_workspace(plane, EXTERNAL)
        first = plane.pid(victim)

        plane.kill(victim)
        await eventually(lambda: plane.pid(victim) not in (None, first))

        async def keeps_workspace() -> bool:
            try:
                return await list_names(plane) == ["Outside"]
            except (httpx.TransportError, TypeError):
                return False

        await eventually(keeps_workspace, within=10)


async def test_agents_survive_a_killed_provisioner_and_stop_with_the_plane(home):
    async with Plane(backend="process", home=home, processes=True) as plane:
        workspace_id = await create_workspace(plane, {"name": "Echo", "runtime": "echo"})
        await eventually(lambda: has_status(plane, workspace_id, "online"), within=20)
        before = find_agent_pids(home)
        os.kill(plane.pid("provisioner"), SIGKILL)
        await eventually(lambda: plane.pid("provisioner"), within=5)

        await eventually(lambda: has_status(plane, workspace_id, "online"), within=20)

        assert find_agent_pids(home) == before

    assert find_agent_pids(home) == set()


async def has_status(plane: Plane, workspace_id: str, wanted: str) -> bool:
    return (await plane.http.get(f"/workspaces/{workspace_id}", headers=plane.admin)).json()["status"] == wanted


def find_agent_pids(home) -> set[int]:
    """Return the pids of the agents of this home, found by their environment."""
    found = set()
    for process in psutil.process_iter():
        try:
            if any(str(home / "workspaces") in value for value in process.environ().values()):
                found.add(process.pid)
        except psutil.Error:
            continue
    return found
