"""The faults that a plane with containers survives, on an engine of the test's own, with real signals.

After each fault the workspace reaches the wanted state within `BOUND` seconds, keeps its volumes and has one container.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import docker
import httpx
import pytest
import pytest_asyncio

from deploy.plane import Plane
from services.provisioner.backends.docker import names
from services.provisioner.model import WorkspaceId
from tests.databases import plane_database
from tests.docker_daemon import DockerDaemon, prepare_daemon
from tests.docker_images import build_base_image
from tests.e2e.conversation import create, get_answer_text, get_workspace, send_and_wait
from tests.provisioner.engine_proxy import EngineProxy, Fault, engine_proxy
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

BOUND = 60.0
"""Seconds from the end of a fault until every workspace is in the wanted state, also on a busy machine."""

INSTALLATION = "test-faults-plane"

MISSING_IMAGE = "molecule-test-missing:1"

AGENT = Path(__file__).parent / "faulty_agent.py"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def daemon() -> AsyncIterator[DockerDaemon]:
    image = build_base_image()
    with prepare_daemon() as daemon:
        await daemon.start()
        try:
            daemon.load_image(image)
            yield daemon
            with daemon.open_client() as client:
                for container in client.containers(all=True):
                    client.remove_container(container["Id"], force=True)
                for network in client.networks(filters={"type": "custom"}):
                    client.remove_network(network["Id"])
        finally:
            await daemon.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proxy(daemon) -> AsyncIterator[EngineProxy]:
    with TemporaryDirectory(prefix="proxy-") as directory:
        async with engine_proxy(Path(directory), str(daemon.socket)) as running:
            yield running


@pytest.fixture(scope="module")
def templates(tmp_path_factory) -> Path:
    """Templates of the operator: one for each fault of an agent, and one whose image is missing."""
    directory: Path = tmp_path_factory.mktemp("templates")
    for fault in ("none", "exits", "hungry", "silent", "imageless"):
        folder = directory / fault
        folder.mkdir()
        folder.joinpath("agent.py").write_text(AGENT.read_text())
        folder.joinpath("config.yaml").write_text(
            f"name: {fault}\nruntime: {fault}\ncommand: [python3, -S, -u, /configs/agent.py, {fault}]\n"
            f"image: {MISSING_IMAGE if fault == 'imageless' else build_base_image()}\n"
        )
    return directory


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plane(database_url: str, daemon, proxy, templates) -> AsyncIterator[Plane]:
    """A plane of processes whose provisioner reaches the engine through the proxy."""
    env = {
        "CONFIGS_DIR": str(templates),
        "DOCKER_HOST": proxy.host,
        "PROVISIONER_DOCKER_IMAGE": "molecule-no-default:1",
        "PROVISIONER_DOCKER_FILES_IMAGE": build_base_image(),
        "PROVISIONER_DOCKER_NETWORK": "molecule-faults",
        "PROVISIONER_DOCKER_PULL": "never",
        "PROVISIONER_DOCKER_TIMEOUT_SECONDS": "10",
        "PROVISIONER_INSTALLATION_ID": INSTALLATION,
        "TIER2_MEMORY_MB": "64",
    }
    async with (
        plane_database(database_url) as url,
        Plane(backend="docker", database_url=url, env=env, processes=True) as plane,
    ):
        yield plane


@pytest.fixture
def engine(daemon) -> Iterator[docker.APIClient]:
    with daemon.open_client() as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def workspace_id(plane, engine) -> AsyncIterator[str]:
    """A workspace that is online; it is removed after the test."""
    created = await create_from(plane, "none")
    await wait_for_status(plane, created, "online")
    yield created
    await remove(plane, engine, created)


async def create_from(plane: Plane, template: str, **fields: Any) -> str:
    return await create(plane, template, runtime=template, template=template, **fields)


async def remove(plane: Plane, engine: docker.APIClient, *workspace_ids: str) -> None:
    """Remove workspaces, and wait until the engine has nothing of them."""
    for workspace_id in workspace_ids:
        await plane.http.delete(f"/workspaces/{workspace_id}?confirm=true", headers=plane.admin)
    for workspace_id in workspace_ids:
        await eventually(lambda removed=workspace_id: is_gone(engine, removed), within=BOUND)


async def wait_for_status(plane: Plane, workspace_id: str, status: str) -> dict[str, Any]:
    """Return the workspace once it has the status."""

    async def find() -> dict[str, Any] | None:
        try:
            found = await get_workspace(plane, workspace_id)
        except httpx.TransportError:
            return None
        return found if found["status"] == status else None

    return await eventually(find, within=BOUND)


async def wait_for_explanation(plane: Plane, workspace_id: str, step: str, reason: str | None) -> dict[str, Any]:
    """Return the view of the provisioning once it names this step and reason."""
    seen: list[object] = []

    async def find() -> dict[str, Any] | None:
        view = (await get_workspace(plane, workspace_id)).get("provisioning") or {}
        if (now := (view.get("step"), view.get("reason"))) not in seen:
            seen.append(now)
        return view if now == (step, reason) else None

    try:
        return await eventually(find, within=BOUND)
    except AssertionError:
        pytest.fail(f"the view never said {step}, {reason}; it said {seen}")


def build_filters(workspace_id: str) -> dict[str, Any]:
    return {"label": [*names.build_label_filters(INSTALLATION), f"{names.WORKSPACE}={workspace_id}"]}


def list_containers(engine: docker.APIClient, workspace_id: str) -> list[str]:
    """Return the states of all containers of a workspace."""
    return [found["State"] for found in engine.containers(all=True, filters=build_filters(workspace_id))]


def is_gone(engine: docker.APIClient, workspace_id: str) -> bool:
    filters = build_filters(workspace_id)
    return not engine.containers(all=True, filters=filters) and not engine.volumes(filters=filters)["Volumes"]


def count_starts(engine: docker.APIClient, workspace_id: str) -> int:
    """Return how often agents have started on the volume of the workspace."""
    command = engine.exec_create(names.name_container(WorkspaceId(workspace_id)), ["cat", "/workspace/starts"])
    return engine.exec_start(command["Id"]).splitlines().count(b"start")


async def kill_provisioner_at(plane: Plane, proxy: EngineProxy) -> None:
    """Kill the provisioner while the request of the fault is held."""
    async with asyncio.timeout(BOUND):
        await proxy.wait_until_held()
    ended = plane.count_exits("provisioner")
    plane.kill("provisioner")
    await eventually(lambda: plane.count_exits("provisioner") > ended)


@pytest.mark.covers("PROV-15")
async def test_agent_runs_in_the_image_that_its_runtime_names(plane, engine, workspace_id):
    found = engine.inspect_container(names.name_container(WorkspaceId(workspace_id)))

    assert found["Config"]["Image"] == build_base_image()
    assert get_answer_text(await send_and_wait(plane, workspace_id, "hello")) == "here"


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        ("POST .*/volumes/create", Fault.HELD_ANSWER),
        ("POST .*/containers/create", Fault.HELD_REQUEST),
        ("POST .*/containers/create", Fault.HELD_ANSWER),
        ("PUT .*/archive", Fault.HELD_ANSWER),
        ("POST .*/containers/[^/]+/start", Fault.HELD_REQUEST),
        ("POST .*/containers/[^/]+/start", Fault.HELD_ANSWER),
    ],
    ids=lambda value: value.value if isinstance(value, Fault) else value.rpartition("/")[2],
)
async def test_start_is_finished_after_the_provisioner_was_killed_in_it(plane, engine, proxy, step, fault):
    proxy.break_at(step, fault)
    created = await create_from(plane, "none")
    await wait_for_explanation(plane, created, "starting", None)
    await kill_provisioner_at(plane, proxy)

    await wait_for_status(plane, created, "online")
    assert list_containers(engine, created) == ["running"]
    assert len(engine.volumes(filters=build_filters(created))["Volumes"]) == len(names.list_volumes(created))
    await remove(plane, engine, created)


@pytest.mark.covers("PROV-21")
@pytest.mark.parametrize(
    "step",
    ["POST .*/stop", "DELETE .*/containers", "PUT .*/archive", "POST .*/containers/[^/]+/start"],
    ids=["stop", "remove", "credentials", "start"],
)
async def test_restart_is_finished_after_the_provisioner_was_killed_in_it(plane, engine, proxy, workspace_id, step):
    before = engine.inspect_container(names.name_container(WorkspaceId(workspace_id)))["Id"]
    proxy.break_at(step, Fault.HELD_ANSWER)
    answer = await plane.http.post(f"/workspaces/{workspace_id}/restart", headers=plane.admin)
    assert answer.status_code == 200, answer.text
    await kill_provisioner_at(plane, proxy)

    await wait_for_status(plane, workspace_id, "online")
    assert list_containers(engine, workspace_id) == ["running"]
    assert engine.inspect_container(names.name_container(WorkspaceId(workspace_id)))["Id"] != before
    assert count_starts(engine, workspace_id) >= 2  # the volume is the same


async def test_hibernation_is_finished_after_the_provisioner_was_killed_in_it(plane, engine, proxy, workspace_id):
    proxy.break_at("POST .*/stop", Fault.HELD_ANSWER)
    asked = asyncio.ensure_future(
        plane.http.post(f"/workspaces/{workspace_id}/hibernate?force=true", headers=plane.admin)
    )
    await kill_provisioner_at(plane, proxy)

    await wait_for_status(plane, workspace_id, "hibernated")
    await asyncio.gather(asked, return_exceptions=True)
    assert list_containers(engine, workspace_id) == ["exited"]
    await send_and_wait(plane, workspace_id, "wake")
    assert count_starts(engine, workspace_id) == 2


@pytest.mark.parametrize("step", ["POST .*/stop", "DELETE .*/containers", "DELETE .*/volumes"])
async def test_removal_is_finished_after_the_provisioner_was_killed_in_it(plane, engine, proxy, step):
    created = await create_from(plane, "none")
    await wait_for_status(plane, created, "online")
    proxy.break_at(step, Fault.HELD_ANSWER)
    asked = asyncio.ensure_future(plane.http.delete(f"/workspaces/{created}?confirm=true", headers=plane.admin))
    await kill_provisioner_at(plane, proxy)

    await eventually(lambda: is_gone(engine, created), within=BOUND)
    await asyncio.gather(asked, return_exceptions=True)


async def test_killed_container_comes_back(plane, engine, workspace_id):
    engine.kill(names.name_container(WorkspaceId(workspace_id)))

    await wait_for_exit(plane, workspace_id, 137)
    await wait_for_status(plane, workspace_id, "online")
    assert list_containers(engine, workspace_id) == ["running"]
    assert count_starts(engine, workspace_id) == 2


@pytest.mark.parametrize(("template", "code"), [("exits", 3), ("hungry", 137)])
async def test_agent_that_fails_its_first_start_is_explained_and_started_again(plane, engine, template, code):
    created = await create_from(plane, template, tier=2)

    await wait_for_exit(plane, created, code)
    await wait_for_status(plane, created, "online")
    assert count_starts(engine, created) == 2
    await remove(plane, engine, created)


async def wait_for_exit(plane: Plane, workspace_id: str, code: int) -> None:
    """Wait until the workspace names the end of its last instance."""

    async def is_named() -> bool:
        found = await get_workspace(plane, workspace_id)
        return bool(found["restart_count"]) and (found["last_exit"] or {}).get("code") == code

    await eventually(is_named, within=BOUND)


async def test_agent_that_never_registers_is_waited_for_until_somebody_restarts_it(plane, engine):
    created = await create_from(plane, "silent")

    view = await wait_for_explanation(plane, created, "waiting_for_register", None)
    assert view["deadline"]
    assert "instance_started" in [event["kind"] for event in view["events"]]
    await eventually(lambda: count_starts(engine, created) == 1, within=BOUND)
    await plane.http.post(f"/workspaces/{created}/restart", headers=plane.admin)
    await wait_for_status(plane, created, "online")
    assert list_containers(engine, created) == ["running"]
    await remove(plane, engine, created)


async def test_missing_image_is_named_and_a_restart_uses_it_once_it_is_there(plane, engine):
    created = await create_from(plane, "imageless")

    await wait_for_status(plane, created, "failed")
    await wait_for_explanation(plane, created, "failed", "image_missing")
    assert list_containers(engine, created) == []
    repository, _, tag = MISSING_IMAGE.partition(":")
    engine.tag(build_base_image(), repository, tag)
    await plane.http.post(f"/workspaces/{created}/restart", headers=plane.admin)
    await wait_for_status(plane, created, "online")
    await remove(plane, engine, created)


async def test_slow_engine_delays_a_start_and_ends_nothing(plane, engine, proxy, workspace_id):
    proxy.stall()
    try:
        created = await create_from(plane, "none")
        await wait_for_explanation(plane, created, "waiting_to_retry", "backend_unavailable")
        assert get_answer_text(await send_and_wait(plane, workspace_id, "hello")) == "here"
        assert (await get_workspace(plane, workspace_id))["status"] == "online"
    finally:
        proxy.resume()

    await wait_for_status(plane, created, "online")
    assert (await get_workspace(plane, workspace_id))["restart_count"] == 0
    assert list_containers(engine, created) == ["running"]
    await remove(plane, engine, created)


async def test_two_provisioners_start_one_container_and_the_second_goes_on_alone(plane, engine):
    plane.start_replica("provisioner", "provisioner-2")
    created = [await create_from(plane, "none") for _ in range(3)]
    for each in created:
        await wait_for_status(plane, each, "online")
    before = [list_containers(engine, each) for each in created]
    plane.kill("provisioner")
    alone = await create_from(plane, "none")
    await wait_for_status(plane, alone, "online")

    assert before == [["running"]] * 3
    assert [count_starts(engine, each) for each in (*created, alone)] == [1] * 4
    await remove(plane, engine, *created, alone)
