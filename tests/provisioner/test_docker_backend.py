"""The backend `docker` on a real Docker Engine."""

import subprocess
import uuid

import docker
import docker.errors
import pytest

from services.provisioner.backends.docker import names
from services.provisioner.backends.docker.backend import DockerBackend
from services.provisioner.docker_options import DockerOptions, PullPolicy
from services.provisioner.model import Credentials, Spec, WorkspaceId
from tests.docker_images import build_sleeping_image
from tests.provisioner.backend_suite import BackendSuite, build_test_spec

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
