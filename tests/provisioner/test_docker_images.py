"""Images on a real Docker Engine, pulled from a registry of the tests."""

import json
import uuid
from base64 import b64encode
from dataclasses import replace

import docker
import pytest

from services.provisioner.backends.docker import names
from services.provisioner.backends.docker.backend import DockerBackend
from services.provisioner.docker_options import DockerOptions, RegistryLogin
from services.provisioner.errors import UnknownRuntime
from services.provisioner.images import RefreshResult
from tests.provisioner.backend_suite import build_test_spec
from tests.provisioner.harness import provisioner_harness
from tests.provisioner.image_registry import PASSWORD, USER, serve_image_registry
from tests.waiting import eventually

pytestmark = [pytest.mark.docker, pytest.mark.timeout(180)]


@pytest.fixture
async def registry():
    async with serve_image_registry() as running:
        yield running


@pytest.fixture
def engine():
    with docker.APIClient(version="auto") as client:
        yield client


@pytest.fixture
async def backend(engine, registry):
    """A backend whose default image is in the registry; everything it made is removed after the test."""
    installation_id = f"test-{uuid.uuid4().hex[:12]}"
    made = DockerBackend(
        DockerOptions(image=f"{registry.host}/agents/plain:latest", network="molecule-tests"), installation_id
    )
    yield made
    await made.close()
    filters = {"label": names.build_label_filters(installation_id)}
    for container in engine.containers(all=True, filters=filters):
        engine.remove_container(container["Id"], force=True)
    for volume in engine.volumes(filters=filters)["Volumes"] or ():
        engine.remove_volume(volume["Name"], force=True)
    for image in engine.images(name=f"{registry.host}/agents/*"):
        engine.remove_image(image["Id"], force=True)


def read_version(engine, workspace_id):
    container = engine.inspect_container(names.name_container(workspace_id))
    return engine.inspect_image(container["Image"])["Config"]["Labels"]["version"]


@pytest.mark.covers("PROV-48", "PROV-50", "PROV-15")
async def test_refresh_pulls_what_is_there_and_replaces_the_containers_of_the_old_image(engine, registry, backend):
    plain, own, stopped = (build_test_spec().workspace_id for _ in range(3))
    registry.add_image("agents/plain", "plain 1")
    registry.add_image("agents/own", "own 1")
    async with provisioner_harness(backend) as harness:
        for runtime, image in (("own", "agents/own"), ("missing", "agents/missing")):
            harness.registry.images[runtime] = f"{registry.host}/{image}:latest"
        harness.registry.images["echo"] = ""
        async with harness.reconciling():
            harness.registry.set_desired(plain)
            harness.registry.set_desired(own, runtime="own", image=harness.registry.images["own"])
            for workspace_id in (plain, own):
                await harness.registry.wait_for_fact(workspace_id, 1, "instance_started", within=60)
            registry.add_image("agents/own", "own 2")

            pulled = await harness.images.refresh()
            assert pulled == RefreshResult(pulled=["echo", "own"], failed=["missing"])
            assert [read_version(engine, one) for one in (plain, own)] == ["plain 1", "own 1"]

            recreated = await harness.images.refresh("own", recreate=True)
            assert recreated == RefreshResult(pulled=["own"], failed=[], recreated=[names.name_container(own)])
            await harness.registry.wait_for_fact(own, 2, "instance_started", within=60)
            assert [read_version(engine, one) for one in (plain, own)] == ["plain 1", "own 2"]

        with pytest.raises(UnknownRuntime) as refused:
            await harness.images.refresh("fortran")
        assert refused.value.details == {"known_runtimes": ["echo", "missing", "own"]}
    assert stopped not in harness.registry.records


@pytest.mark.covers("PROV-49")
async def test_registry_that_wants_a_login_gets_that_of_the_settings(registry, backend):
    registry.add_image("agents/plain", "plain 1")
    registry.requires_login = True
    options = replace(backend._options, login=RegistryLogin(USER, PASSWORD, registry.host))
    async with provisioner_harness(backend) as harness:
        harness.registry.images["echo"] = ""
        assert await harness.images.refresh() == RefreshResult(failed=["echo"], pulled=[])
    knowing = DockerBackend(options, "test-login")
    async with provisioner_harness(knowing) as harness:
        harness.registry.images["echo"] = ""
        assert await harness.images.refresh() == RefreshResult(pulled=["echo"], failed=[])
    await knowing.close()
    elsewhere = DockerBackend(replace(options, login=RegistryLogin(USER, PASSWORD, "ghcr.io")), "test-login")
    async with provisioner_harness(elsewhere) as harness:
        harness.registry.images["echo"] = ""
        assert await harness.images.refresh() == RefreshResult(failed=["echo"], pulled=[])
    await elsewhere.close()

    assert "token repository:agents/plain:pull" in registry.requests


@pytest.mark.covers("PROV-49", "PROV-56")
async def test_private_registry_gets_the_docker_login_of_the_host_also_one_made_after_the_start(
    engine, registry, backend, tmp_path, monkeypatch
):
    one = build_test_spec().workspace_id
    registry.add_image("agents/plain", "plain 1")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    async with provisioner_harness(backend) as harness:
        harness.registry.images["echo"] = ""
        async with harness.reconciling():
            harness.registry.set_desired(one)
            await harness.registry.wait_for_fact(one, 1, "instance_started", within=60)
            registry.requires_login = True
            registry.add_image("agents/plain", "plain 2")
            assert (await harness.images.refresh(recreate=True)).failed == ["echo"]

            login = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.host: {"auth": login}}}))
            refreshed = await harness.images.refresh(recreate=True)

            assert refreshed == RefreshResult(pulled=["echo"], failed=[], recreated=[names.name_container(one)])
            await harness.registry.wait_for_fact(one, 2, "instance_started", within=60)
            assert read_version(engine, one) == "plain 2"


@pytest.mark.covers("PROV-51")
async def test_watcher_replaces_the_container_of_an_image_that_changed(engine, registry, backend):
    one = build_test_spec().workspace_id
    registry.add_image("agents/plain", "plain 1")
    async with provisioner_harness(backend) as harness:
        harness.registry.images["echo"] = ""
        async with harness.reconciling():
            harness.registry.set_desired(one)
            await harness.registry.wait_for_fact(one, 1, "instance_started", within=60)
            await harness.watcher.check()
            registry.add_image("agents/plain", "plain 2")
            await harness.watcher.check()
            await harness.registry.wait_for_fact(one, 2, "instance_started", within=60)

            await eventually(lambda: read_version(engine, one) == "plain 2")
