"""Stops or removes the containers of a plane's workspaces: `python -m deploy.instances stop-on-exit|purge`.

`stop-on-exit` waits for a signal and then stops them. It is a container of its own, so that instances outlive a
restart of the provisioner, but not the plane.
"""

import asyncio
import sys
from signal import SIGINT, SIGTERM

from pydantic import Field

from services.chassis.errors import ServiceError
from services.chassis.settings import EnvironmentSettings, InvalidSettings, load_settings, with_prefix
from services.provisioner.backends.base import Backend
from services.provisioner.backends.docker.backend import DockerBackend
from services.provisioner.docker_options import DockerOptions
from services.provisioner.model import WorkspaceId


class InstanceSettings(EnvironmentSettings):
    """The settings of the command: those of the provisioner with the same names."""

    model_config = with_prefix("")

    docker_host: str = ""
    """Address of the Docker Engine."""

    provisioner_installation_id: str = Field(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")
    """Label of the plane's containers."""


def main(arguments: list[str]) -> int:
    """Run the command; return the exit code."""
    try:
        settings = load_settings(InstanceSettings)
        backend = DockerBackend(DockerOptions(host=settings.docker_host), settings.provisioner_installation_id)
        match arguments:
            case ["stop-on-exit"]:
                asyncio.run(stop_on_exit(backend))
            case ["purge"]:
                asyncio.run(purge(backend))
            case _:
                return _print_error("usage: python -m deploy.instances stop-on-exit|purge")
    except InvalidSettings as error:
        return _print_error(str(error))
    except ServiceError as error:
        return _print_error(f"the instances cannot be stopped: {error}")
    return 0


async def stop_on_exit(backend: DockerBackend) -> None:
    """Wait for SIGTERM or SIGINT, then stop all instances."""
    stopping = asyncio.Event()
    for number in (SIGTERM, SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await stopping.wait()
    await asyncio.gather(*(backend.stop(instance.workspace_id) for instance in await backend.list()))


async def purge(backend: Backend) -> int:
    """Remove all instances with their files, also those whose workspace is gone; return their number."""
    found = await backend.list()
    await asyncio.gather(*(_remove(backend, instance.workspace_id) for instance in found))
    return len(found)


async def _remove(backend: Backend, workspace_id: WorkspaceId) -> None:
    await backend.stop(workspace_id)
    await backend.forget(workspace_id)


def _print_error(line: str) -> int:
    print(f"molecule: {line}", file=sys.stderr)  # noqa: T201 - output of a command
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
