"""The backend `docker` on a real Docker Engine."""

import asyncio
import gc
import subprocess
import uuid
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import docker
import pytest

from services.provisioner.backends.docker import former_output, names
from services.provisioner.backends.docker.archives import File, pack_files
from services.provisioner.backends.docker.backend import DockerBackend
from services.provisioner.backends.docker.container import USER_ID
from services.provisioner.docker_options import DockerOptions, PullPolicy
from services.provisioner.errors import BackendUnavailable, ImageMissing, StartFailed
from services.provisioner.model import Credentials, Phase, Spec, WorkspaceId
from tests.docker_images import build_base_image, build_sleeping_image
from tests.provisioner.backend_suite import BackendSuite, build_test_spec
from tests.provisioner.engine_proxy import LOSING_FAULTS, Fault, engine_proxy

pytestmark = pytest.mark.docker

NETWORK = "molecule-tests"

AGENT_PID = 1


@pytest.fixture
def engine():
    with docker.APIClient(version="auto") as client:
        yield client


@pytest.fixture
def installation_id(engine):
    """The id of an installation of its own; everything it made is removed after the test."""
    found = f"test-{uuid.uuid4().hex[:12]}"
    yield found
    filters = {"label": names.build_label_filters(found)}
    for container in engine.containers(all=True, filters=filters):
        engine.remove_container(container["Id"], force=True)
    for volume in engine.volumes(filters=filters)["Volumes"] or ():
        engine.remove_volume(volume["Name"], force=True)


@pytest.fixture
def options():
    return DockerOptions(image=build_sleeping_image(), network=NETWORK, pull=PullPolicy.NEVER)


@pytest.fixture
def backend(options, installation_id):
    return DockerBackend(options, installation_id)


@pytest.fixture
def spec() -> Spec:
    return build_test_spec()


def execute(workspace_id: WorkspaceId, *command: str, data: bytes = b"") -> str:
    """Run a command in the workspace's container and return what it prints."""
    argv = ("docker", "exec", "--interactive", names.name_container(workspace_id), *command)
    return subprocess.run(argv, input=data, capture_output=True, check=True).stdout.decode()


@pytest.mark.covers("ENG-06")
class TestDockerBackend(BackendSuite):
    def read_credentials(self, backend: DockerBackend, workspace_id: WorkspaceId) -> Credentials:
        found = execute(
            workspace_id, "sh", "-c", "cat /configs/.auth_token; echo; cat /configs/.platform_inbound_secret"
        )
        return Credentials(*found.split("\n"))

    def read_files(self, backend: DockerBackend, workspace_id: WorkspaceId) -> dict[str, str]:
        found = execute(workspace_id, "sh", "-c", "cd /configs && find . -type f -not -name '.*'").split()
        return {path.removeprefix("./"): execute(workspace_id, "cat", f"/configs/{path}") for path in found}

    async def append_output(self, backend: DockerBackend, workspace_id: WorkspaceId, text: bytes) -> None:
        execute(workspace_id, "sh", "-c", f"cat > /proc/{AGENT_PID}/fd/1", data=text)

    async def end(self, backend: DockerBackend, workspace_id: WorkspaceId) -> None:
        subprocess.run(("docker", "kill", names.name_container(workspace_id)), check=True, capture_output=True)


def inspect(engine: docker.APIClient, workspace_id: WorkspaceId) -> dict[str, Any]:
    return engine.inspect_container(names.name_container(workspace_id))


@pytest.fixture
async def proxy(tmp_path):
    async with engine_proxy(tmp_path) as running:
        yield running


@pytest.fixture
def distant_backend(options, installation_id, proxy):
    """The backend behind the proxy, with a short time limit."""
    return DockerBackend(replace(options, host=proxy.host, timeout=timedelta(seconds=6)), installation_id)


@pytest.mark.covers("PROV-55")
async def test_output_of_containers_that_were_replaced_or_discarded_is_bounded_and_tells_how_they_ended(backend, spec):
    await backend.start(spec)
    execute(spec.workspace_id, "sh", "-c", f"seq 1 900 > /proc/{AGENT_PID}/fd/1")
    subprocess.run(("docker", "kill", names.name_container(spec.workspace_id)), check=True, capture_output=True)
    await backend.start(replace(spec, generation=2))
    first = (await backend.read_logs(spec.workspace_id, 5000)).output.splitlines()
    execute(spec.workspace_id, "sh", "-c", f"echo second > /proc/{AGENT_PID}/fd/1")
    await backend.discard(spec.workspace_id)
    await backend.start(replace(spec, generation=3))
    second = await backend.read_logs(spec.workspace_id, 5000)

    assert first[0] == str(900 - former_output.MAX_LINES + 1)
    assert first[-2:] == ["900", "molecule: instance 1 ended with exit code 137; what follows is of a later one"]
    assert second.output.splitlines()[-3:-1] == [first[-1], "second"]
    assert second.output.count("molecule: instance") == 2
    assert second.truncated


@pytest.mark.covers("PROV-55")
async def test_agent_that_replaces_its_kept_output_by_a_link_shows_nothing_else(backend, spec):
    await backend.start(spec)
    execute(spec.workspace_id, "sh", "-c", "ln -sf /etc/passwd /configs/.molecule-output")

    assert "root" not in (await backend.read_logs(spec.workspace_id, 100)).output


@pytest.mark.covers("PROV-11", "PROV-12")
async def test_container_and_volumes_have_their_names_and_labels(backend, engine, installation_id, spec):
    started = await backend.start(spec)

    found = inspect(engine, spec.workspace_id)
    labels = names.build_labels(installation_id, spec.workspace_id)
    assert labels.items() <= found["Config"]["Labels"].items()
    mounted = {mount["Destination"]: mount["Name"] for mount in found["Mounts"] if mount["Type"] == "volume"}
    assert mounted["/configs"] == f"ws-{spec.workspace_id[:12]}-configs"
    assert mounted["/workspace"] == f"ws-{spec.workspace_id}-workspace"
    assert all(engine.inspect_volume(name)["Labels"] == labels for name in mounted.values())
    assert started.address == f"http://{found['NetworkSettings']['Networks'][NETWORK]['IPAddress']}:8000"


@pytest.fixture
def unlabelled(engine, spec):
    """The volume of the workspace's files, without labels."""
    name = f"ws-{spec.workspace_id}-workspace"
    engine.create_volume(name)
    yield name
    with suppress(docker.errors.APIError):  # one that an instance uses is removed with the instance
        engine.remove_volume(name, force=True)


async def test_empty_volume_without_labels_is_made_anew(backend, engine, installation_id, spec, unlabelled):
    await backend.start(spec)

    labels = names.build_labels(installation_id, spec.workspace_id)
    assert engine.inspect_volume(unlabelled)["Labels"] == labels


async def test_volume_without_labels_that_holds_something_is_left_alone(backend, engine, spec, unlabelled):
    mounts = engine.create_host_config(binds=[f"{unlabelled}:/workspace"])
    writer = engine.create_container(build_base_image(), ["true"], volumes=["/workspace"], host_config=mounts)["Id"]
    engine.put_archive(writer, "/workspace", pack_files((File("kept", "text"),), user_id=USER_ID))
    engine.remove_container(writer)

    with pytest.raises(StartFailed):
        await backend.start(spec)

    assert engine.inspect_volume(unlabelled)["Labels"] is None


async def test_agent_has_no_privileges_and_owns_its_directories(backend, engine, spec):
    await backend.start(replace(spec, tier=1))

    host_config = inspect(engine, spec.workspace_id)["HostConfig"]
    assert (host_config["CapDrop"], host_config["SecurityOpt"]) == (["ALL"], ["no-new-privileges"])
    assert (host_config["Privileged"], host_config["ReadonlyRootfs"]) == (False, True)
    assert execute(spec.workspace_id, "stat", "-c", "%u %a", "/configs/.auth_token", "/workspace").split("\n")[:2] == [
        f"{USER_ID} 600",
        f"{USER_ID} 700",
    ]


@pytest.mark.covers("PROV-11")
async def test_name_that_is_taken_is_refused_and_left_alone(backend, installation_id, spec):
    await backend.start(spec)
    twin = build_test_spec(spec.workspace_id[:12] + str(uuid.uuid4())[12:])

    with pytest.raises(StartFailed):
        await backend.start(twin)

    await backend.stop(twin.workspace_id)
    await backend.forget(twin.workspace_id)
    assert await backend.get(twin.workspace_id) is None
    assert [instance.phase for instance in await backend.list()] == [Phase.RUNNING]


@pytest.mark.covers("PROV-12")
async def test_planes_on_one_engine_do_not_see_each_others_instances(backend, options, spec):
    await backend.start(spec)
    other = DockerBackend(options, "test-other-plane")

    await other.stop(spec.workspace_id)
    await other.forget(spec.workspace_id)

    assert list(await other.list()) == []
    found = await backend.get(spec.workspace_id)
    assert found
    assert found.phase is Phase.RUNNING


@pytest.mark.covers("PROV-13")
async def test_container_with_such_a_name_and_no_label_is_neither_listed_nor_touched(backend, engine, spec):
    await backend.start(spec)
    stranger = build_test_spec()
    body = {"Image": build_sleeping_image(), "Cmd": ["true"]}
    made = engine.create_container_from_config(body, names.name_container(stranger.workspace_id))["Id"]
    try:
        await backend.stop(stranger.workspace_id)
        await backend.forget(stranger.workspace_id)

        assert [instance.workspace_id for instance in await backend.list()] == [spec.workspace_id]
        assert engine.inspect_container(made)["State"]["Status"] == "created"
    finally:
        engine.remove_container(made, force=True)


@pytest.mark.covers("PROV-10")
async def test_many_requests_for_one_removal_all_succeed(backend, spec):
    for _ in range(5):
        await backend.start(spec)

        await asyncio.gather(*(remove(backend, spec.workspace_id) for _ in range(4)))

        assert await backend.get(spec.workspace_id) is None


async def remove(backend: DockerBackend, workspace_id: WorkspaceId) -> None:
    """Remove a workspace as the reconciler does: a step that found the engine busy is repeated."""
    while True:
        with suppress(BackendUnavailable):
            await backend.stop(workspace_id)
            await backend.forget(workspace_id)
            return


@pytest.mark.covers("PROV-15")
async def test_image_of_the_spec_replaces_that_of_the_backend(backend, engine, spec):
    other = f"{build_sleeping_image()}-other"
    engine.tag(build_sleeping_image(), *other.split(":"))
    try:
        await backend.start(replace(spec, image=other))

        assert inspect(engine, spec.workspace_id)["Config"]["Image"] == other
    finally:
        engine.remove_image(other, force=True)


async def test_image_without_a_command_runs_the_one_of_the_spec(backend, engine, spec):
    await backend.start(replace(spec, image=build_base_image(), command=("sleep", "600")))

    assert inspect(engine, spec.workspace_id)["State"]["Running"]


@pytest.mark.covers("PROV-18", "PROV-54")
async def test_removed_container_and_emptied_volume_are_replaced(backend, engine, spec):
    spec = replace(spec, files=(("config.yaml", "name: ada"),))
    await backend.start(spec)
    execute(spec.workspace_id, "rm", "/configs/config.yaml", "/configs/.auth_token")
    engine.remove_container(names.name_container(spec.workspace_id), force=True)
    engine.remove_volume(f"ws-{spec.workspace_id}-workspace")
    remains = await backend.get(spec.workspace_id)
    assert remains
    assert (remains.phase, remains.generation) == (Phase.EXITED, 0)

    again = await backend.start(replace(spec, credentials=Credentials("token-2", "inbound-2")))

    assert again.phase is Phase.RUNNING
    assert execute(spec.workspace_id, "cat", "/configs/config.yaml", "/configs/.auth_token") == "name: adatoken-2"


@pytest.mark.parametrize("fault", LOSING_FAULTS)
@pytest.mark.parametrize(
    "step", ["POST .*/volumes/create", "POST .*/containers/create", "PUT .*/archive", "POST .*/containers/[^/]+/start"]
)
async def test_start_that_broke_off_is_completed_by_the_next(distant_backend, proxy, spec, step, fault):
    proxy.break_at(step, fault)

    with suppress(BackendUnavailable):
        await distant_backend.start(spec)
    started = await distant_backend.start(spec)

    assert proxy.has_broken
    assert started.phase is Phase.RUNNING
    assert list(await distant_backend.list()) == [started]
    assert execute(spec.workspace_id, "cat", "/configs/.auth_token") == "token-1"


async def test_removal_that_broke_off_is_completed_by_the_next(distant_backend, proxy, spec):
    await distant_backend.start(spec)

    for step in ("POST .*/stop", "DELETE .*/containers", "DELETE .*/volumes"):
        proxy.break_at(step, Fault.LOST_ANSWER)
        with suppress(BackendUnavailable):
            await distant_backend.stop(spec.workspace_id)
            await distant_backend.forget(spec.workspace_id)
        assert proxy.has_broken
    await distant_backend.stop(spec.workspace_id)
    await distant_backend.forget(spec.workspace_id)

    assert list(await distant_backend.list()) == []


async def test_engine_that_hangs_or_restarts_says_nothing_about_instances(distant_backend, proxy, spec):
    started = await distant_backend.start(spec)
    async with aclosing(distant_backend.watch_exits()) as exits:
        notice = asyncio.ensure_future(anext(exits))

        proxy.stall()
        with pytest.raises(BackendUnavailable):
            await distant_backend.get(spec.workspace_id)
        with pytest.raises(BackendUnavailable):
            await distant_backend.list()
        proxy.resume()
        proxy.go_away()
        with pytest.raises(BackendUnavailable):
            await notice
    with pytest.raises(BackendUnavailable):
        await distant_backend.get(spec.workspace_id)
    proxy.come_back()

    assert await distant_backend.get(spec.workspace_id) == started
    assert list(await distant_backend.list()) == [started]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_engine_that_cannot_be_reached_is_unavailable(options, installation_id, tmp_path, spec):
    backend = DockerBackend(replace(options, host=f"unix://{tmp_path}/missing.sock"), installation_id)

    for call in (backend.start(spec), backend.stop(spec.workspace_id), backend.get(spec.workspace_id), backend.list()):
        with pytest.raises(BackendUnavailable):
            await call
    gc.collect()  # the SDK leaves the socket of a failed connection to the collector, which warns about it


async def test_missing_image_has_a_reason_of_its_own_and_ends_nothing(backend, spec):
    started = await backend.start(spec)

    with pytest.raises(ImageMissing):
        await backend.start(replace(spec, generation=2, image="molecule-no-such-image:1"))

    assert await backend.get(spec.workspace_id) == started


async def test_registry_that_the_engine_cannot_reach_is_a_missing_image(options, installation_id, spec):
    backend = DockerBackend(replace(options, pull=PullPolicy.MISSING), installation_id)

    with pytest.raises(ImageMissing):
        await backend.start(replace(spec, image="127.0.0.1:1/molecule-no-such-image:1"))


@pytest.mark.covers("PROV-09")
async def test_stop_of_a_container_that_never_existed_succeeds(backend, spec):
    await backend.stop(spec.workspace_id)
