"""A plane whose workspaces run in containers, on a real Docker Engine."""

import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import docker
import docker.errors
import httpx
import pytest
import pytest_asyncio

from deploy.plane import Plane
from services.provisioner.backends.docker import names
from tests.databases import plane_database
from tests.docker_images import build_workspace_image
from tests.e2e.conversation import create, get_answer_text, get_workspace, send_and_wait, wait_until_online
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

INSTALLATION = "test-e2e-plane"

NETWORK = "molecule-tests"


@pytest.fixture(scope="module")
def engine():
    with docker.APIClient(version="auto") as client:
        yield client
        filters = {"label": names.build_label_filters(INSTALLATION)}
        for container in client.containers(all=True, filters=filters):
            client.remove_container(container["Id"], force=True)
        for volume in client.volumes(filters=filters)["Volumes"] or ():
            client.remove_volume(volume["Name"], force=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plane(database_url: str, engine) -> AsyncIterator[Plane]:
    """A plane of processes; its agents are containers, which stop with it."""
    env = {
        "PROVISIONER_DOCKER_IMAGE": build_workspace_image(),
        "PROVISIONER_DOCKER_NETWORK": NETWORK,
        "PROVISIONER_DOCKER_PULL": "never",
        "PROVISIONER_INSTALLATION_ID": INSTALLATION,
    }
    async with (
        plane_database(database_url) as url,
        Plane(backend="docker", database_url=url, env=env, processes=True) as plane,
    ):
        yield plane
    assert list_running(engine) == {}


def list_running(engine: docker.APIClient) -> dict[str, str]:
    """Return the ids of this plane's running containers, by workspace."""
    found = engine.containers(filters={"label": names.build_label_filters(INSTALLATION)})
    return {container["Labels"][names.WORKSPACE]: container["Id"] for container in found}


def read_token(engine: docker.APIClient, workspace_id: str) -> str:
    command = engine.exec_create(names.name_container(workspace_id), ["cat", "/configs/.auth_token"])
    return engine.exec_start(command["Id"]).decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def workspace_id(plane) -> str:
    """A workspace that is online."""
    created = await create(plane)
    await wait_until_online(plane, created)
    return created


async def test_agent_in_a_container_comes_online_and_answers(plane, engine, workspace_id):
    assert get_answer_text(await send_and_wait(plane, workspace_id, "hello")) == "hello"
    assert set(list_running(engine)) == {workspace_id}
    logs = await plane.http.get(f"/workspaces/{workspace_id}/logs")
    assert (logs.status_code, logs.json()["backend"]) == (200, "docker")
    assert "listens on" in logs.json()["output"]


async def test_agents_reach_the_plane_with_a_bearer_only(plane, engine, workspace_id):
    gateway = engine.inspect_network(NETWORK)["IPAM"]["Config"][0]["Gateway"]
    url = f"http://{gateway}:{urlsplit(plane.url).port}"
    token = read_token(engine, workspace_id)
    async with httpx.AsyncClient(base_url=url, trust_env=False) as agent:
        answers = [
            (await agent.get(f"/workspaces/{workspace_id}", headers=headers)).status_code
            for headers in ({}, {"Authorization": "Bearer invalid"}, {"Authorization": f"Bearer {token}"})
        ]

    assert answers == [401, 401, 200]


async def test_containers_outlive_the_provisioner_and_are_found_again(plane, engine, workspace_id):
    before = list_running(engine)
    ended = plane.count_exits("provisioner")
    plane.kill("provisioner")

    await eventually(lambda: plane.count_exits("provisioner") > ended)
    assert list_running(engine) == before
    assert get_answer_text(await send_and_wait(plane, workspace_id, "still there")) == "still there"


@pytest.mark.covers("PROV-54")
async def test_removed_container_comes_back_with_a_new_token(plane, engine, workspace_id):
    old, before = read_token(engine, workspace_id), list_running(engine)
    engine.remove_container(names.name_container(workspace_id), force=True)
    for volume in names.list_volumes(workspace_id):
        with contextlib.suppress(docker.errors.NotFound):
            engine.remove_volume(volume.name)

    await eventually(lambda: list_running(engine) not in ({}, before))
    await wait_until_online(plane, workspace_id)
    assert get_answer_text(await send_and_wait(plane, workspace_id, "back")) == "back"
    assert read_token(engine, workspace_id) != old
    refused = await plane.http.get(f"/workspaces/{workspace_id}", headers={"Authorization": f"Bearer {old}"})
    assert refused.status_code == 401


@pytest.mark.covers("PROV-21")
async def test_restart_replaces_the_container(plane, engine, workspace_id):
    before = list_running(engine)

    answer = await plane.http.post(f"/workspaces/{workspace_id}/restart")

    assert answer.status_code == 200
    await eventually(lambda: list_running(engine) not in ({}, before))
    await wait_until_online(plane, workspace_id)
    assert get_answer_text(await send_and_wait(plane, workspace_id, "again")) == "again"
    assert (await get_workspace(plane, workspace_id))["status"] == "online"


async def test_removal_deletes_container_and_volumes(plane, engine):
    removed = await create(plane, "removed")
    await wait_until_online(plane, removed)

    answer = await plane.http.delete(f"/workspaces/{removed}?confirm=true")

    assert answer.status_code == 200, answer.text
    filters = {"label": [*names.build_label_filters(INSTALLATION), f"{names.WORKSPACE}={removed}"]}
    await eventually(lambda: not engine.containers(all=True, filters=filters))
    await eventually(lambda: not engine.volumes(filters=filters)["Volumes"])
