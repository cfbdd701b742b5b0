"""Prepares the Docker Engine for a plane whose workspaces run in containers: their network and their image."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from deploy import processes
from deploy.errors import StartError
from deploy.layout import Layout
from deploy.progress import Progress
from deploy.settings import UpSettings, read_settings_from
from services.chassis.errors import ServiceError
from services.provisioner.backends.docker.backend import DockerBackend
from services.provisioner.backends.docker.installation import load_installation_id
from services.provisioner.docker_options import DEFAULT_IMAGE, DockerOptions
from services.provisioner.settings import Settings as ProvisionerSettings

BUILD_SCRIPT = Path(__file__).parent / "workspace" / "build.sh"
"""Builds the image of workspaces."""

UNUSED_DATABASE = "postgresql://unused"


async def prepare(
    settings: UpSettings, layout: Layout, *, inherited: Mapping[str, str], progress: Progress
) -> UpSettings:
    """Create the network, build the image if it is missing, and return the settings with the address for agents.

    Raises `StartError` if the engine does not answer, or the image cannot be built.
    """
    backend, options = open_backend(settings, layout, inherited=inherited)
    with progress.step("Docker Engine"):
        try:
            gateway = await backend.ensure_network()
            has_image = await backend.has_image(options.image)
        except ServiceError as error:
            message = (
                "the Docker Engine does not answer: start it, or set DOCKER_HOST, or choose make up BACKEND=process"
            )
            raise StartError(message) from error
    if not has_image and options.image == DEFAULT_IMAGE:
        with progress.step("workspace image"):
            await _build_image(options.image)
    return settings if settings.agent_bind else settings.model_copy(update={"agent_bind": gateway})


async def stop_instances(settings: UpSettings, layout: Layout, *, inherited: Mapping[str, str]) -> None:
    """Stop containers that a killed provisioner could not stop. Without an engine nothing happens."""
    backend, _ = open_backend(settings, layout, inherited=inherited)
    try:
        for instance in await backend.list():
            await backend.stop(instance.workspace_id)
    except ServiceError:
        return


def open_backend(
    settings: UpSettings, layout: Layout, *, inherited: Mapping[str, str]
) -> tuple[DockerBackend, DockerOptions]:
    """Return the backend of the plane's provisioner, and its options."""
    urls = dict.fromkeys(processes.SERVICES, UNUSED_DATABASE)
    environments = processes.build_environments(settings, layout, database_urls=urls, inherited=inherited)
    options = read_settings_from(environments["provisioner"], ProvisionerSettings).docker_options
    return DockerBackend(options, options.installation_id or load_installation_id(layout.home)), options


async def _build_image(name: str) -> None:
    process = await asyncio.create_subprocess_exec(
        str(BUILD_SCRIPT), *DEFAULT_BASE, name, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    if process.returncode:
        last = (errors.decode(errors="replace").strip().splitlines() or [""])[-1]
        message = (
            f"the workspace image could not be built: {last};"
            " build it with deploy/workspace/build.sh BASE, or name one in PROVISIONER_DOCKER_IMAGE"
        )
        raise StartError(message)


DEFAULT_BASE = ("python:3.11-slim-bookworm",)
