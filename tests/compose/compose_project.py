"""Runs one project of the compose program, with images, ports and networks of its own."""

import os
import shutil
import socket
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from tests import docker_engine, docker_images

ROOT = Path(__file__).parents[2]

IMAGES_SCRIPT = ROOT / "deploy" / "build_images.sh"

PROGRAM_SCRIPT = Path(__file__).with_name("build_program.sh")

TAG = "compose-test"

COLLECTOR = Path(__file__).with_name("collector")

COLLECTOR_IMAGE = f"molecule-test-collector:{TAG}"

ENGINE_SOCKET = Path("/var/run/docker.sock")


@cache
def find_program() -> tuple[str, ...]:
    """Return the command of compose: the plugin of Docker, or a program that is built once on a machine."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode == 0:
        return ("docker", "compose")
    if shutil.which("go") is None and not docker_engine.REQUIRED:
        pytest.skip("Docker has no compose plugin, and there is no Go to build one")
    return (run(str(PROGRAM_SCRIPT)).splitlines()[-1],)


def build_images() -> None:
    """Build all images from Debian packages, and one that stands for that of the OpenTelemetry collector."""
    base = docker_images.build_base_image()
    run(str(IMAGES_SCRIPT), base, base, environment={"TAG": TAG, "DOCKER_BUILDKIT": "0"})
    build = ("docker", "build", "--quiet", "--build-arg", f"BASE=molecule-plane:{TAG}", "--tag", COLLECTOR_IMAGE)
    run(*build, str(COLLECTOR), environment={"DOCKER_BUILDKIT": "0"})


class ComposeProject:
    """The containers of a plane, as the operator sees them."""

    def __init__(self, name: str, *files: str, subnet: str, environment: Mapping[str, str] | None = None) -> None:
        """`subnet` are the first three numbers of the plane's network."""
        self.name = name
        self.port = find_free_port()
        self._files = [option for file in files for option in ("-f", str(ROOT / "deploy" / file))]
        self._environment = {
            "COMPOSE_PROJECT_NAME": name,
            "PLANE_NETWORK": subnet,
            "PORT": str(self.port),
            "DOCKER_GID": str(ENGINE_SOCKET.stat().st_gid),
            "MOLECULE_IMAGE": f"molecule-plane:{TAG}",
            "POSTGRES_IMAGE": f"molecule-postgres:{TAG}",
            "BALANCER_IMAGE": f"molecule-balancer:{TAG}",
            "WORKSPACE_IMAGE": f"molecule-workspace:{TAG}",
            "COLLECTOR_IMAGE": COLLECTOR_IMAGE,
            **(environment or {}),
        }

    def run(self, *arguments: str, check: bool = True) -> str:
        """Run a command of compose and return what it printed."""
        command = (*find_program(), "--progress", "quiet", "--env-file", os.devnull, *self._files, *arguments)
        return run(*command, environment=self._environment, check=check)

    def add_file(self, file: str) -> None:
        """Use a further file of compose from now on."""
        self._files += ["-f", str(ROOT / "deploy" / file)]

    def container(self, service: str) -> str:
        """Return the name of the container of a service."""
        return f"{self.name}-{service}-1"

    def kill(self, service: str) -> None:
        """End the first process of a container, as a fault would; the engine starts the container again."""
        pid = run("docker", "inspect", "--format", "{{.State.Pid}}", self.container(service)).strip()
        options = ("--rm", "--pid", "host", "--user", "0", "--network", "none")
        run("docker", "run", *options, f"molecule-plane:{TAG}", "sh", "-c", f"kill -9 {pid}")

    def list_leftovers(self) -> list[str]:
        """Return the containers, volumes and networks of the project and of its workspaces."""
        labels = (f"com.docker.compose.project={self.name}", f"molecule.platform.instance={self.name}")
        commands = (("ps", "--all", "--format", "{{.Names}}"), ("volume", "ls", "-q"), ("network", "ls", "-q"))
        return [
            line
            for label in labels
            for command in commands
            for line in run("docker", *command, "--filter", f"label={label}").split()
        ]


def run(*command: str, environment: Mapping[str, str] | None = None, check: bool = True) -> str:
    """Run a command and return its standard output, or both outputs if it may fail."""
    done = subprocess.run(
        command, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False
    )
    if check:
        assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
        return done.stdout
    return done.stdout + done.stderr


def find_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
