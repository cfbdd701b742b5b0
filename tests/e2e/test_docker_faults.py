"""The faults that a plane with containers survives, on an engine of the test's own, with real signals.

After each fault the workspace reaches the wanted state within `BOUND` seconds, keeps its volumes and has one container.
"""

import asyncio
import contextlib
import errno
import os
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

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
from tests.e2e.conversation import get_answer_text, get_workspace, send_and_wait
from tests.e2e.docker_workspaces import (
    BOUND,
    INSTALLATION,
    count_starts,
    create_from,
    is_gone,
    kill_provisioner_at,
    list_containers,
    list_volumes,
    remove,
    wait_for_exit,
    wait_for_explanation,
    wait_for_status,
)
from tests.e2e.faketime import Faketime, find_faketime
from tests.provisioner.engine_proxy import EngineProxy, Fault, engine_proxy
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

MISSING_IMAGE = "molecule-test-missing:1"

VOLUMES_SIZE = "64m"
"""The room for all volumes of the engine."""

PROCESSES = ("auth", "registry", "provisioner", "a2a_proxy", "gateway")

AGENT = Path(__file__).parent / "faulty_agent.py"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def daemon() -> AsyncIterator[DockerDaemon]:
    image = build_base_image()
    with prepare_daemon() as daemon:
        daemon.limit_volumes(VOLUMES_SIZE)
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
            await daemon.end()


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


@pytest.mark.covers("PROV-15")
async def test_agent_runs_in_the_image_that_its_runtime_names(plane, engine, workspace_id):
    found = engine.inspect_container(names.name_container(WorkspaceId(workspace_id)))

    assert found["Config"]["Image"] == build_base_image()
    assert get_answer_text(await send_and_wait(plane, workspace_id, "hello")) == "here"


START_POINTS = {
    "volume": "POST .*/volumes/create",
    "container": "POST .*/containers/create.*name=ws-[0-9a-f-]{12}( |$|&)",
    "owner container": "POST .*/containers/create.*-files",
    "owner": "PUT .*/archive.*path=%2F( |$|&)",
    "owner container removed": "DELETE .*/containers/ws-[^/]+-files",
    "files and credentials": "PUT .*/archive.*path=%2Fconfigs",
    "start": "POST .*/containers/[^/]+/start",
}
"""Every request with which a start changes something in the engine."""

STOP_POINT = {"stop": "POST .*/containers/[^/]+/stop"}

RESTART_POINTS = {**STOP_POINT, "container removed": "DELETE .*/containers/[0-9a-f]{64}", **START_POINTS}

REMOVAL_POINTS = {
    **STOP_POINT,
    "container removed": "DELETE .*/containers/[0-9a-f]{64}",
    "owner container removed": "DELETE .*/containers/ws-[^/]+-files",
    "volume removed": "DELETE .*/volumes/",
}


def list_unnamed(requests: list[str], points: dict[str, str]) -> list[str]:
    """Return the requests that change something and belong to no fault point."""
    changes = [each for each in requests if not each.startswith(("GET ", "HEAD "))]
    return [each for each in changes if not any(re.search(point, each) for point in points.values())]


async def test_every_change_in_the_engine_is_a_fault_point(plane, engine, proxy, workspace_id):
    proxy.requests.clear()
    created = await create_from(plane, "none")
    await wait_for_status(plane, created, "online")
    started = list(proxy.requests)

    proxy.requests.clear()
    answer = await plane.http.post(f"/workspaces/{created}/hibernate?force=true", headers=plane.admin)
    assert answer.status_code == 200, answer.text
    await wait_for_status(plane, created, "hibernated")
    hibernated = list(proxy.requests)

    proxy.requests.clear()
    await remove(plane, engine, created)
    removed = list(proxy.requests)

    proxy.requests.clear()
    await plane.http.post(f"/workspaces/{workspace_id}/restart", headers=plane.admin)
    await eventually(lambda: any(re.search(START_POINTS["start"], each) for each in proxy.requests), within=BOUND)
    restarted = list(proxy.requests)

    network = {"network": "POST .*/networks/create"}  # only the first start of a plane makes it
    assert list_unnamed(started, START_POINTS | network) == []
    assert list_unnamed(restarted, RESTART_POINTS) == []
    assert list_unnamed(hibernated, STOP_POINT) == []
    assert list_unnamed(removed, REMOVAL_POINTS) == []
    for point in START_POINTS.values():
        assert any(re.search(point, each) for each in started), point


@pytest.mark.parametrize(
    ("point", "fault"),
    [
        *((point, Fault.HELD_ANSWER) for point in START_POINTS),
        ("container", Fault.HELD_REQUEST),
        ("start", Fault.HELD_REQUEST),
    ],
    ids=str,
)
async def test_start_is_finished_after_the_provisioner_was_killed_in_it(plane, engine, proxy, point, fault):
    proxy.break_at(START_POINTS[point], fault)
    created = await create_from(plane, "none")
    await kill_provisioner_at(plane, proxy)

    await wait_for_status(plane, created, "online")
    assert list_containers(engine, created) == ["running"]
    assert len(list_volumes(engine, created)) == len(names.list_volumes(WorkspaceId(created)))
    await remove(plane, engine, created)


@pytest.mark.covers("PROV-21")
@pytest.mark.parametrize("point", ["stop", "container removed", "container", "files and credentials", "start"])
async def test_restart_is_finished_after_the_provisioner_was_killed_in_it(plane, engine, proxy, workspace_id, point):
    before = engine.inspect_container(names.name_container(WorkspaceId(workspace_id)))["Id"]
    proxy.break_at(RESTART_POINTS[point], Fault.HELD_ANSWER)
    answer = await plane.http.post(f"/workspaces/{workspace_id}/restart", headers=plane.admin)
    assert answer.status_code == 200, answer.text
    await kill_provisioner_at(plane, proxy)

    await wait_for_status(plane, workspace_id, "online")
    assert list_containers(engine, workspace_id) == ["running"]
    assert engine.inspect_container(names.name_container(WorkspaceId(workspace_id)))["Id"] != before
    assert count_starts(engine, workspace_id) >= 2  # the volume is the same


@pytest.mark.parametrize("fault", [Fault.HELD_REQUEST, Fault.HELD_ANSWER], ids=str)
async def test_hibernation_is_finished_after_the_provisioner_was_killed_in_it(
    plane, engine, proxy, workspace_id, fault
):
    proxy.break_at(STOP_POINT["stop"], fault)
    asked = asyncio.ensure_future(
        plane.http.post(f"/workspaces/{workspace_id}/hibernate?force=true", headers=plane.admin)
    )
    await kill_provisioner_at(plane, proxy)

    await wait_for_status(plane, workspace_id, "hibernated")
    await asyncio.gather(asked, return_exceptions=True)
    assert list_containers(engine, workspace_id) == ["exited"]
    await send_and_wait(plane, workspace_id, "wake")
    assert count_starts(engine, workspace_id) == 2


@pytest.mark.parametrize("point", REMOVAL_POINTS)
async def test_removal_is_finished_after_the_provisioner_was_killed_in_it(plane, engine, proxy, point):
    created = await create_from(plane, "none")
    await wait_for_status(plane, created, "online")
    proxy.break_at(REMOVAL_POINTS[point], Fault.HELD_ANSWER)
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
    proxy.delay_requests(30)
    try:
        created = await create_from(plane, "none")
        await wait_for_explanation(plane, created, "waiting_to_retry", "backend_unavailable")
        assert get_answer_text(await send_and_wait(plane, workspace_id, "hello")) == "here"
        await eventually(lambda: proxy.delayed >= 1, within=BOUND)
        assert (await get_workspace(plane, workspace_id))["status"] == "online"
    finally:
        proxy.delay_requests(0)

    await wait_for_status(plane, created, "online")
    assert (await get_workspace(plane, workspace_id))["restart_count"] == 0
    assert list_containers(engine, created) == ["running"]
    await remove(plane, engine, created)


@pytest.fixture
def full_disk(daemon) -> Iterator[Path]:
    """A file that takes all the room of the volumes."""
    ballast = daemon.directory / "data" / "volumes" / "ballast"
    fill(ballast)
    yield ballast
    ballast.unlink(missing_ok=True)


def fill(ballast: Path) -> None:
    """Write until the disk is full."""
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            with contextlib.suppress(OSError):
                while file.write(b"x" * size):
                    pass
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            file.write(b"x" * (1 << 12))


async def test_full_disk_is_named_and_a_start_succeeds_once_there_is_room(plane, engine, full_disk):
    created = await create_from(plane, "none")

    view = await wait_for_explanation(plane, created, "waiting_to_retry", "disk_full")
    assert "disk of the backend is full" in view["text"]
    full_disk.unlink()
    await wait_for_status(plane, created, "online")
    assert list_containers(engine, created) == ["running"]
    await remove(plane, engine, created)


async def test_restart_on_a_full_disk_needs_no_room_and_keeps_the_volumes(plane, engine, workspace_id, full_disk):
    volumes = list_volumes(engine, workspace_id)

    await plane.http.post(f"/workspaces/{workspace_id}/restart", headers=plane.admin)
    await eventually(lambda: has_started_again(engine, workspace_id, 1), within=BOUND)
    await wait_for_status(plane, workspace_id, "online")
    assert full_disk.exists()
    assert list_containers(engine, workspace_id) == ["running"]
    assert list_volumes(engine, workspace_id) == volumes


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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ten_workspaces(plane, daemon) -> AsyncIterator[list[str]]:
    created = [await create_from(plane, "none") for _ in range(10)]
    for each in created:
        await wait_for_status(plane, each, "online")
    yield created
    with daemon.open_client() as client:
        await remove(plane, client, *created)


@pytest.mark.parametrize("ending", ["stopped", "killed"])
async def test_ten_workspaces_come_back_after_the_engine_was_restarted(plane, daemon, ten_workspaces, ending):
    with daemon.open_client() as engine:
        starts = [count_starts(engine, each) for each in ten_workspaces]
        volumes = [list_volumes(engine, each) for each in ten_workspaces]
    await (daemon.stop() if ending == "stopped" else daemon.kill())
    await daemon.start()

    with daemon.open_client() as engine:
        for each, count in zip(ten_workspaces, starts, strict=True):
            await eventually(lambda each=each, count=count: has_started_again(engine, each, count), within=BOUND)
            await wait_for_status(plane, each, "online")
        assert [list_containers(engine, each) for each in ten_workspaces] == [["running"]] * 10
        assert [list_volumes(engine, each) for each in ten_workspaces] == volumes
    assert get_answer_text(await send_and_wait(plane, ten_workspaces[-1], "hello")) == "here"


def has_started_again(engine: docker.APIClient, workspace_id: str, starts: int) -> bool:
    """Whether the agent has started since it had started so often; false also while it is being started."""
    try:
        return count_starts(engine, workspace_id) > starts
    except docker.errors.APIError:
        return False


async def test_clock_that_jumps_changes_no_wanted_state(plane, engine, tmp_path):
    """Every process of the plane sees the jump; the database and the agents keep their time."""
    clock = Faketime(find_faketime(), tmp_path / "clock")
    for name in reversed(PROCESSES):
        await plane.stop(name)
    for name in PROCESSES:
        plane.start(name, **clock.environment)
    await wait_for_sweep(plane, timedelta(0))
    running = await create_from(plane, "none")
    await wait_for_status(plane, running, "online")
    resting = await create_from(plane, "none")
    await wait_for_status(plane, resting, "online")
    await plane.http.post(f"/workspaces/{resting}/hibernate?force=true", headers=plane.admin)
    await wait_for_status(plane, resting, "hibernated")
    before = engine.inspect_container(names.name_container(WorkspaceId(running)))["Id"]

    for jump in (timedelta(hours=1), timedelta(hours=-1)):
        clock.jump(jump)
        await wait_for_sweep(plane, jump)
        assert (await get_workspace(plane, running))["status"] == "online"
        assert (await get_workspace(plane, resting))["status"] == "hibernated"
        later = await create_from(plane, "none")
        await wait_for_status(plane, later, "online")
        await remove(plane, engine, later)
        assert get_answer_text(await send_and_wait(plane, running, "hello")) == "here"
        assert (await get_workspace(plane, running))["restart_count"] == 0
        assert engine.inspect_container(names.name_container(WorkspaceId(running)))["Id"] == before
        assert list_containers(engine, resting) == ["exited"]
    await remove(plane, engine, running, resting)


async def wait_for_sweep(plane: Plane, offset: timedelta) -> None:
    """Wait until the registry has looked for silent agents twice at a time that is off by so much."""
    seen: set[datetime] = set()

    async def has_swept() -> bool:
        with contextlib.suppress(httpx.TransportError):
            answer = await plane.http.get("/admin/liveness", headers=plane.admin)
            if answer.status_code == 200 and (found := answer.json()["subsystems"].get("missed_heartbeats")):
                at = datetime.fromisoformat(found["last_tick_at"])
                if abs(at - datetime.now(UTC) - offset) < timedelta(minutes=5):
                    seen.add(at)
        return len(seen) >= 2

    await eventually(has_swept, within=BOUND)
