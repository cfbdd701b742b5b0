"""A Docker Engine of the test's own, which the test may kill and restart without disturbing any other.

Its containerd is a process of its own, as distributions run it. A containerd that dockerd starts ends with a killed
dockerd. While its process number still exists (also as a zombie), the next dockerd waits for it in vain and gives up.
"""

import asyncio
import contextlib
import os
import shutil
import signal
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

NEEDED_PROGRAMS = ("containerd", "dockerd", "ip", "mount", "setpriv", "umount")

BRIDGE_ADDRESS = "10.213.255.1/24"
"""The address of its default bridge, which no test uses."""

START_LIMIT = 60.0
"""Seconds until the engine answers."""

PARENT_DEATH = ("setpriv", "--pdeathsig", "TERM")
"""Ends a process when the tests end without cleaning up."""

CONTAINERD_CONFIG = """
version = 2
root = "{directory}/containerd"
state = "{directory}/tasks"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{socket}"
"""


class DockerDaemon:
    """An engine with a directory, a socket and a containerd of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = directory / "engine.sock"
        self.bridge = f"dockerd{os.getpid()}"
        self.host = f"unix://{self.socket}"
        self._containerd_socket = directory / "containerd.sock"
        self._containerd: asyncio.subprocess.Process | None = None
        self._process: asyncio.subprocess.Process | None = None

    def limit_volumes(self, size: str) -> Path:
        """Give the volumes a file system of this size, before the first start; return its directory."""
        data, volumes = self.directory / "data", self.directory / "data" / "volumes"
        volumes.mkdir(parents=True)
        # The engine mounts a directory that is no mount point on itself, which would hide what is mounted below.
        subprocess.run(("mount", "--bind", str(data), str(data)), check=True)
        subprocess.run(("mount", "--make-shared", str(data)), check=True)
        subprocess.run(("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(volumes)), check=True)
        return volumes

    async def start(self) -> None:
        """Start the engine, and its containerd unless it runs, and wait until the engine answers."""
        if self._containerd is None:
            config = self.directory / "containerd.toml"
            config.write_text(CONTAINERD_CONFIG.format(directory=self.directory, socket=self._containerd_socket))
            self._containerd = await self._spawn("containerd", "--config", str(config))
            await eventually(self._containerd_socket.exists, within=START_LIMIT)
        self._process = await self._spawn(
            *("dockerd", "--storage-driver", "overlay2", "--bridge", self.bridge, "--iptables=false"),
            *("--data-root", str(self.directory / "data"), "--exec-root", str(self.directory / "run")),
            *("--containerd", str(self._containerd_socket)),
            *("--host", self.host, "--pidfile", str(self.directory / "pid")),
            *("--default-address-pool", ADDRESS_POOL),
        )
        await eventually(self._answers, within=START_LIMIT)

    async def stop(self) -> None:
        """Stop the engine with SIGTERM; it stops its containers."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()

    async def kill(self) -> None:
        """Kill the engine with SIGKILL; its containers run on, and end when it comes back."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def end(self) -> None:
        """Stop the engine and its containerd."""
        await self.stop()
        if self._containerd is not None and self._containerd.returncode is None:
            self._containerd.terminate()
            await self._containerd.wait()

    async def _spawn(self, *command: str) -> asyncio.subprocess.Process:
        with (self.directory / "log").open("ab") as log:
            return await asyncio.create_subprocess_exec(*PARENT_DEATH, *command, stdout=log, stderr=log)

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
        _kill_processes_of(daemon.directory)
        _unmount_below(daemon.directory)
        subprocess.run(("ip", "link", "delete", daemon.bridge), check=False)
        shutil.rmtree(daemon.directory, ignore_errors=True)


def _kill_processes_of(directory: Path) -> None:
    """Kill what an engine that did not come back has left: the shims of its containers, and these with them."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(directory).encode() in process.joinpath("cmdline").read_bytes():
                for child in process.joinpath("task", process.name, "children").read_text().split():
                    os.kill(int(child), signal.SIGKILL)
                os.kill(int(process.name), signal.SIGKILL)


def _unmount_below(directory: Path) -> None:
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for path in reversed([path for path in mounted if path.startswith(f"{directory}/")]):
        subprocess.run(("umount", "--lazy", path), check=False)
