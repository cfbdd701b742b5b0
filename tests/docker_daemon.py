"""A Docker Engine of the test's own, which the test may kill, restart without disturbing any other."""

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import docker
import pytest

from tests import docker_engine
from tests.waiting import eventually

ADDRESS_POOL = "base=10.213.0.0/16,size=24"
"""Where its networks are: no other engine of the machine uses these addresses."""

NEEDED_PROGRAMS = ("dockerd", "ip", "setpriv")

BRIDGE_ADDRESS = "10.213.255.1/24"
"""The address of its default bridge, which no test uses."""

START_LIMIT = 60.0
"""Seconds until the engine answers."""


class DockerDaemon:
    """An engine with a directory, a socket and a containerd of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = directory / "engine.sock"
        self.bridge = f"dockerd{os.getpid()}"
        self.host = f"unix://{self.socket}"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the engine and wait until it answers."""
        with (self.directory / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *("setpriv", "--pdeathsig", "TERM"),
                *("dockerd", "--storage-driver", "overlay2", "--bridge", self.bridge, "--iptables=false"),
                *("--data-root", str(self.directory / "data"), "--exec-root", str(self.directory / "run")),
                *("--host", self.host, "--pidfile", str(self.directory / "pid")),
                *("--default-address-pool", ADDRESS_POOL),
                stdout=log,
                stderr=log,
            )
        await eventually(self._answers, within=START_LIMIT)

    async def stop(self) -> None:
        """Stop the engine with SIGTERM; it stops its containers."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()

    async def kill(self) -> None:
        """Kill the engine with SIGKILL; its containers end when it comes back."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    def load_image(self, image: str) -> None:
        """Copy an image from the engine of the machine."""
        with subprocess.Popen(("docker", "save", image), stdout=subprocess.PIPE) as saved:
            subprocess.run(("docker", "--host", self.host, "load"), stdin=saved.stdout, check=True, capture_output=True)

    @contextlib.contextmanager
    def open_client(self) -> Iterator[docker.APIClient]:
        with docker.APIClient(base_url=self.host, version="auto") as client:
            yield client

    async def _answers(self) -> bool:
        """Ask without the SDK, which leaves sockets of failed connections to the garbage collector."""
        try:
            reader, writer = await asyncio.open_unix_connection(str(self.socket))
        except OSError:
            return False
        try:
            writer.write(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in await reader.readline()
        except OSError:
            return False
        finally:
            writer.close()


@contextmanager
def prepare_daemon() -> Iterator[DockerDaemon]:
    """Yield an engine that is not started yet; skip the test where none of its own can run."""
    if os.geteuid() != 0 or not all(map(shutil.which, NEEDED_PROGRAMS)):
        if docker_engine.REQUIRED:
            pytest.fail("MOLECULE_REQUIRE_DOCKER=1, and no engine of the test's own can run: be root, install dockerd")
        pytest.skip(f"an engine of the test's own needs root and {', '.join(NEEDED_PROGRAMS)}")
    daemon = DockerDaemon(Path(mkdtemp(prefix="dockerd-")))  # short, because of the limit of a socket's path
    # With the bridge `none` an engine deletes docker0, which belongs to the engine of the machine.
    subprocess.run(("ip", "link", "add", daemon.bridge, "type", "bridge"), check=True)
    subprocess.run(("ip", "address", "add", BRIDGE_ADDRESS, "dev", daemon.bridge), check=True)
    subprocess.run(("ip", "link", "set", daemon.bridge, "up"), check=True)
    try:
        yield daemon
    finally:
        subprocess.run(("ip", "link", "delete", daemon.bridge), check=False)
        shutil.rmtree(daemon.directory, ignore_errors=True)
