"""What the janitor and the reconciler remove from a real Docker Engine that several planes may share."""

import subprocess
import uuid
from dataclasses import replace

import docker
import pytest

from services.provisioner.backends.docker import names
from services.provisioner.backends.docker.backend import DockerBackend
from services.provisioner.docker_options import DockerOptions, PullPolicy
from services.provisioner.model import DesiredState, Phase
from tests.docker_images import build_sleeping_image
from tests.provisioner.backend_suite import build_test_spec
from tests.provisioner.engine_proxy import Fault, engine_proxy
from tests.provisioner.harness import provisioner_harness
from tests.waiting import eventually

pytestmark = pytest.mark.docker


@pytest.fixture
def engine():
    with docker.APIClient(version="auto") as client:
        yield client


@pytest.fixture
def options():
    return DockerOptions(image=build_sleeping_image(), network="molecule-tests", pull=PullPolicy.NEVER)


@pytest.fixture
def make_installation(engine):
    """Return ids of installations; everything they made is removed after the test."""
    made = []

    def make() -> str:
        made.append(f"test-{uuid.uuid4().hex[:12]}")
        return made[-1]

    yield make
    for installation_id in made:
        filters = {"label": names.build_label_filters(installation_id)}
        for container in engine.containers(all=True, filters=filters):
            engine.remove_container(container["Id"], force=True)
        for volume in engine.volumes(filters=filters)["Volumes"] or ():
            engine.remove_volume(volume["Name"], force=True)


@pytest.fixture
def unlabelled(options):
    """A container of somebody else whose name looks like one of a workspace."""
    name = names.name_container(str(uuid.uuid4()))
    subprocess.run(
        ("docker", "run", "--detach", "--network", "none", "--name", name, options.image),
        check=True,
        capture_output=True,
    )
    yield name
    subprocess.run(("docker", "rm", "--force", name), check=True, capture_output=True)


def list_containers(engine, installation_id):
    filters = {"label": names.build_label_filters(installation_id)}
    return [entry["Names"][0].lstrip("/") for entry in engine.containers(all=True, filters=filters)]


def count_volumes(engine, installation_id):
    return len(engine.volumes(filters={"label": names.build_label_filters(installation_id)})["Volumes"] or ())


@pytest.mark.covers("PROV-12", "PROV-13", "PROV-43")
async def test_containers_of_an_emptied_database_are_removed_and_all_others_are_kept(
    engine, options, make_installation, unlabelled
):
    ours, theirs = make_installation(), make_installation()
    lost, ended, kept, foreign = (build_test_spec() for _ in range(4))
    backend, other = DockerBackend(options, ours), DockerBackend(options, theirs)
    for spec in (lost, ended, kept):
        await backend.start(spec)
    await backend.stop(ended.workspace_id)
    await other.start(foreign)

    async with provisioner_harness(backend) as harness:
        harness.registry.set_desired(kept.workspace_id)
        async with harness.reconciling():
            await harness.janitor.sweep()
            await harness.janitor.sweep()

    assert list_containers(engine, ours) == [names.name_container(kept.workspace_id)]
    assert count_volumes(engine, ours) == 12
    assert {one.workspace_id: one.phase for one in await backend.list()} == {
        lost.workspace_id: Phase.EXITED,
        ended.workspace_id: Phase.EXITED,
        kept.workspace_id: Phase.RUNNING,
    }
    assert [one.phase for one in await other.list()] == [Phase.RUNNING]
    assert engine.inspect_container(unlabelled)["State"]["Running"]


@pytest.mark.covers("PROV-42")
@pytest.mark.parametrize("fault", [Fault.LOST_REQUEST, Fault.LOST_ANSWER], ids=str)
async def test_removal_whose_stop_failed_is_finished_later(engine, options, make_installation, tmp_path, fault):
    ours, spec = make_installation(), build_test_spec()
    await DockerBackend(options, ours).start(spec)
    async with engine_proxy(tmp_path) as proxy:
        backend = DockerBackend(replace(options, host=proxy.host), ours)
        proxy.break_at("POST .*/stop", fault)
        async with provisioner_harness(backend) as harness:
            harness.registry.set_desired(spec.workspace_id, DesiredState.FORGOTTEN)
            async with harness.reconciling():
                await eventually(lambda: proxy.has_broken and not list_containers(engine, ours), within=20)
                await eventually(lambda: count_volumes(engine, ours) == 0, within=20)
        await backend.close()
