"""`molecule reset` removes a stopped plane."""

import asyncio
from dataclasses import replace

import asyncpg
import docker
import pytest

from deploy import lock
from deploy.layout import Layout
from deploy.reset import SCHEMAS
from services.provisioner.backends.base import BackendConfig
from services.provisioner.backends.docker import names
from services.provisioner.backends.docker.backend import DockerBackend
from services.provisioner.backends.docker.installation import load_installation_id
from services.provisioner.backends.process import create_backend
from services.provisioner.docker_options import DockerOptions, PullPolicy
from services.provisioner.model import Phase
from tests.databases import plane_database
from tests.docker_images import build_sleeping_image
from tests.molecule_cli import own_process
from tests.provisioner.backend_suite import build_test_spec


@pytest.fixture
def layout(tmp_path):
    """The home of a plane that has run: it has data, keys, files of the operator and a template of their own."""
    layout = Layout.for_home(tmp_path / "home")
    layout.prepare()
    for path in (
        layout.postgres / "base" / "1",
        layout.keys / "vault",
        layout.home / "plugins" / "own" / "plugin.yaml",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    layout.save_demo_team({})
    return layout


def reset(layout, *options, **environment):
    return own_process.molecule("reset", *options, MOLECULE_HOME=str(layout.home), **environment)


@pytest.mark.covers("PROV-56")
async def test_reset_removes_everything_but_templates_and_plugins(layout):
    backend = create_backend(BackendConfig(layout.home, ("sleep", "600")))
    started = await backend.start(build_test_spec())

    result = await asyncio.to_thread(reset, layout, "--yes")

    assert result.returncode == 0, result.stderr
    assert "removed: 1 workspaces as processes, with their files" in result.stdout
    left = {path.name for path in layout.home.iterdir()}
    assert left == {"lock", "plugins", "org-templates", "workspace-configs-templates"}
    found = await backend.get(started.workspace_id)
    assert found is None or found.phase is Phase.EXITED
    assert reset(layout, "--yes").returncode == 0


@pytest.mark.docker
@pytest.mark.covers("PROV-56")
async def test_reset_removes_the_containers_and_volumes_of_this_plane_alone(layout):
    options = DockerOptions(image=build_sleeping_image(), network="molecule-tests", pull=PullPolicy.NEVER)
    own, foreign = DockerBackend(options, load_installation_id(layout.home)), DockerBackend(options, "test-reset-other")
    spec = build_test_spec()
    other = replace(build_test_spec(), generation=2)
    await own.start(spec)
    await foreign.start(other)

    try:
        result = await asyncio.to_thread(reset, layout, "--yes")

        assert result.returncode == 0, result.stderr
        with docker.APIClient(version="auto") as engine:
            volumes = {volume["Name"] for volume in engine.volumes()["Volumes"] or ()}
            containers = {entry["Names"][0].lstrip("/") for entry in engine.containers(all=True)}
        assert names.name_container(spec.workspace_id) not in containers
        assert volumes.isdisjoint(volume.name for volume in names.list_volumes(spec.workspace_id))
        assert names.name_container(other.workspace_id) in containers
    finally:
        await foreign.stop(other.workspace_id)
        await foreign.forget(other.workspace_id)
        await own.close()
        await foreign.close()


@pytest.mark.covers("PROV-56")
async def test_reset_drops_the_schemas_of_a_database_of_the_operator(layout, database_url):
    async with plane_database(database_url) as url:
        connection = await asyncpg.connect(url)
        for schema in SCHEMAS:
            await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        await connection.execute("CREATE SCHEMA another")

        result = await asyncio.to_thread(reset, layout, "--yes", DATABASE_URL=url)

        left = await connection.fetch("SELECT nspname FROM pg_namespace WHERE nspname = ANY($1)", [*SCHEMAS, "another"])
        await connection.close()
    assert result.returncode == 0, result.stderr
    assert [row["nspname"] for row in left] == ["another"]


@pytest.mark.docker
def test_nothing_is_removed_while_the_engine_with_the_containers_does_not_answer(layout):
    load_installation_id(layout.home)

    result = reset(layout, "--yes", DOCKER_HOST="unix:///nowhere.sock")

    assert result.returncode == 1
    assert "cannot be removed, and nothing else was" in result.stderr
    assert (layout.keys / "vault").exists()


def test_running_plane_is_not_reset(layout):
    with lock.hold_lock(layout.lock, url="http://127.0.0.1:1"):
        result = reset(layout, "--yes")

    assert (result.returncode, (layout.keys / "vault").exists()) == (1, True)
    assert "stop it with molecule down" in result.stderr


def test_directory_without_a_plane_is_left_alone(tmp_path):
    (tmp_path / "keys").mkdir()

    result = own_process.molecule("reset", "--yes", MOLECULE_HOME=str(tmp_path))

    assert (result.returncode, (tmp_path / "keys").exists()) == (1, True)
    assert "there is no plane in" in result.stderr


def test_reset_asks_before_it_removes_anything(layout):
    assert reset(layout).returncode != 0
    assert (layout.keys / "vault").exists()
