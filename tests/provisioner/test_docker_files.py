"""The files of workspaces in containers, on a real Docker Engine."""

import asyncio
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import aclosing

import docker
import pytest

from services.provisioner.backends.docker import names
from services.provisioner.backends.docker.backend import DockerBackend
from services.provisioner.backends.docker.container import build_file_helper
from services.provisioner.docker_options import DockerOptions, PullPolicy
from services.provisioner.errors import FileAccessFailed, FileMissing, FileTooLarge, InvalidPath, NoFiles
from services.provisioner.file_rules import MAX_BYTES
from services.provisioner.model import FileRoot, Spec, WorkspaceId
from tests.docker_images import build_sleeping_image
from tests.provisioner.backend_files_suite import BackendFilesSuite
from tests.provisioner.backend_suite import build_test_spec

pytestmark = pytest.mark.docker

NETWORK = "molecule-tests"


@pytest.fixture
def engine() -> Iterator[docker.APIClient]:
    with docker.APIClient(version="auto") as client:
        yield client


@pytest.fixture
def installation_id(engine) -> Iterator[str]:
    """The id of an installation of its own; everything it made is removed after the test."""
    found = f"test-{uuid.uuid4().hex[:12]}"
    yield found
    filters = {"label": names.build_label_filters(found)}
    for container in engine.containers(all=True, filters=filters):
        engine.remove_container(container["Id"], force=True)
    for volume in engine.volumes(filters=filters)["Volumes"] or ():
        engine.remove_volume(volume["Name"], force=True)


@pytest.fixture
def backend(installation_id) -> DockerBackend:
    options = DockerOptions(image=build_sleeping_image(), network=NETWORK, pull=PullPolicy.NEVER)
    return DockerBackend(options, installation_id)


@pytest.fixture
def spec() -> Spec:
    return build_test_spec()


def execute(workspace_id: WorkspaceId, script: str) -> None:
    """Run a shell script in the workspace's container, as its agent would."""
    argv = ("docker", "exec", names.name_container(workspace_id), "sh", "-ec", script)
    subprocess.run(argv, capture_output=True, check=True)


def list_helpers(engine: docker.APIClient, installation_id: str) -> list[str]:
    """Return the ids of the installation's containers for requests about files."""
    filters = {"label": [*names.build_label_filters(installation_id), f"{names.PURPOSE}={names.FILES}"]}
    return [found["Id"] for found in engine.containers(all=True, filters=filters)]


class TestFilesOfContainers(BackendFilesSuite):
    """The suite of every backend."""


async def test_links_of_an_agent_lead_nowhere(backend, spec):
    await backend.start(spec)
    root = FileRoot.WORKSPACE
    execute(
        spec.workspace_id,
        "cd /workspace; ln -s /etc/hostname file; ln -s / top; ln -s /configs/.auth_token token; mkfifo pipe",
    )

    for path in (("file",), ("top", "etc", "hostname"), ("token",), ("pipe",)):
        with pytest.raises(FileMissing):
            await backend.read_file(spec.workspace_id, root, path)
    with pytest.raises(InvalidPath):
        await backend.write_files(spec.workspace_id, root, {("top", "tmp", "x"): "x"})
    await backend.write_files(spec.workspace_id, root, {("file",): "mine"})
    assert [entry.path for entry in await backend.list_files(spec.workspace_id, root, (), 5)] == ["file"]
    assert await backend.read_file(spec.workspace_id, root, ("file",)) == b"mine"


async def test_agent_that_swaps_a_directory_for_a_link_shows_nothing_outside(backend, spec):
    await backend.start(spec)
    execute(
        spec.workspace_id,
        """
        mkdir /workspace/real; echo inside > /workspace/real/passwd; ln -s /etc /workspace/link; cd /workspace
        (while :; do mv -T real d; mv -T d real; mv -T link d; mv -T d link; done) >/dev/null 2>&1 &
        """,
    )

    for _ in range(10):
        try:
            assert await backend.read_file(spec.workspace_id, FileRoot.WORKSPACE, ("d", "passwd")) == b"inside\n"
        except FileMissing:
            continue


async def test_file_over_the_limit_is_refused_and_one_at_the_limit_passes(backend, spec):
    await backend.start(spec)
    execute(spec.workspace_id, f"truncate -s {MAX_BYTES} /workspace/most; truncate -s 1T /workspace/more")

    assert len(await backend.read_file(spec.workspace_id, FileRoot.WORKSPACE, ("most",))) == MAX_BYTES
    with pytest.raises(FileTooLarge):
        await backend.read_file(spec.workspace_id, FileRoot.WORKSPACE, ("more",))


async def test_full_volume_refuses_a_write_and_keeps_what_it_has(backend, engine, installation_id, spec):
    labels = names.build_labels(installation_id, spec.workspace_id)
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=64k,uid=10001,gid=10001,mode=700"}
    engine.create_volume(f"ws-{spec.workspace_id}-workspace", driver_opts=options, labels=labels)
    await backend.start(spec)
    await backend.write_files(spec.workspace_id, FileRoot.WORKSPACE, {("kept",): "before"})

    with pytest.raises(FileAccessFailed):
        await backend.write_files(spec.workspace_id, FileRoot.WORKSPACE, {("kept",): "x" * 100_000})

    found = await backend.list_files(spec.workspace_id, FileRoot.WORKSPACE, (), 1)
    assert [(entry.path, entry.size) for entry in found] == [("kept", len("before"))]


async def test_volume_of_another_installation_is_not_opened(backend, engine, spec):
    name = f"ws-{spec.workspace_id}-workspace"
    engine.create_volume(name, labels=names.build_labels("test-other-plane", spec.workspace_id))
    try:
        with pytest.raises(NoFiles):
            await backend.write_files(spec.workspace_id, FileRoot.WORKSPACE, {("one",): "1"})
    finally:
        engine.remove_volume(name)


async def test_requests_leave_no_container_and_end_no_instance(backend, engine, installation_id, spec):
    await backend.start(spec)
    async with aclosing(backend.watch_exits()) as exits:
        notice = asyncio.ensure_future(anext(exits))
        await backend.write_files(spec.workspace_id, FileRoot.WORKSPACE, {("one",): "1"})
        with pytest.raises(FileMissing):
            await backend.read_file(spec.workspace_id, FileRoot.WORKSPACE, ("two",))

        assert list_helpers(engine, installation_id) == []
        assert [instance.workspace_id for instance in await backend.list()] == [spec.workspace_id]
        await backend.stop(spec.workspace_id)
        assert await notice == spec.workspace_id


async def test_container_that_a_killed_provisioner_left_does_not_hold_the_volumes(
    backend, engine, installation_id, spec
):
    await backend.start(spec)
    volume = f"ws-{spec.workspace_id}-workspace"
    body = build_file_helper(
        volume=volume,
        labels=names.build_labels(installation_id, spec.workspace_id),
        purpose=names.FILES,
        image=build_sleeping_image(),
        script=f"import time; time.sleep({time.time()})",
    )
    engine.start(engine.create_container_from_config(body, names.name_file_helper(spec.workspace_id, "left")))

    await backend.stop(spec.workspace_id)
    await backend.forget(spec.workspace_id)

    assert list_helpers(engine, installation_id) == []
    assert await backend.get(spec.workspace_id) is None
