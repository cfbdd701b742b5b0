"""Agents that `molecule connect` runs as processes, and the network between them and a plane."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil

from deploy.plane import Plane
from tests.waiting import eventually

ADAPTERS = Path(__file__).parent

LEASE_SECONDS = 5
"""The shortest lease; a test that waits for its end waits this long."""

START_SECONDS = 60.0
"""Seconds until an agent that starts on a loaded machine has registered."""


class ConnectedAgent:
    """One directory of an agent, and the process that runs in it."""

    def __init__(self, plane: Plane, directory: Path, name: str, *, url: str = "") -> None:
        self.name = name
        self.directory = directory
        self.root = directory / name
        self.url = url or plane.url
        self.id = ""
        self._plane = plane
        self._process: asyncio.subprocess.Process | None = None
        for adapter in ("recording_adapter.py", "once_adapter.py"):
            shutil.copy(ADAPTERS / adapter, directory)

    async def start(self, *options: str, **environment: str) -> None:
        """Start `molecule connect` without waiting for its registration."""
        variables = {"PATH": os.defpath, "MOLECULE_URL": self.url, "INBOX_LEASE_SECONDS": str(LEASE_SECONDS)}
        with (self.directory / "log.txt").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "molecule_cli", "connect", self.name, *options),
                cwd=self.directory,
                env=variables | {"PYTHONPATH": str(ADAPTERS.parents[1])} | environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def connect(self, *options: str, **environment: str) -> None:
        """Start `molecule connect`, and wait until the workspace is online."""
        await self.start("--create", *options, **environment)
        await self.wait_until("online")

    async def wait_until(self, status: str) -> dict[str, Any]:
        """Wait until the workspace has a status, and return it."""

        async def has_status() -> dict[str, Any] | None:
            answer = await self._plane.http.get("/workspaces")
            found = [one for one in answer.json() if one["name"] == self.name] if answer.is_success else []
            return found[0] if found and found[0]["status"] == status else None

        try:
            found = await eventually(has_status, within=START_SECONDS)
        except AssertionError as error:
            raise AssertionError(self.read_log()) from error
        self.id = str(found["id"])
        return found

    @property
    def process(self) -> psutil.Process:
        assert self._process is not None
        return psutil.Process(self._process.pid)

    async def kill(self) -> None:
        """Kill the process with SIGKILL."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> int:
        """Ask the process to stop, and return its exit status."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.terminate()
        return await self._process.wait()

    def list_runs(self) -> list[str]:
        """Return the texts of the messages that have reached the adapter, in order."""
        path = self.root / "runs.txt"
        return path.read_text().splitlines() if path.exists() else []

    def let_go(self) -> None:
        """Have the messages finish that wait."""
        (self.root / "go").touch()

    def read_log(self) -> str:
        return (self.directory / "log.txt").read_text()

    async def send(self, text: str) -> str:
        """Send a message, and return its id in the plane."""
        message = {"role": "user", "messageId": f"m-{text}", "parts": [{"kind": "text", "text": text}]}
        body = {"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": {"message": message}}
        answer = await self._plane.http.post(f"/workspaces/{self.id}/a2a", json=body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["queue_id"])

    async def read_message(self, queue_id: str) -> dict[str, Any]:
        """Return a message as the plane knows it; empty while the plane does not answer."""
        try:
            answer = await self._plane.http.get(f"/workspaces/{self.id}/a2a/queue/{queue_id}")
        except httpx.TransportError:
            return {}
        found: dict[str, Any] = answer.json()
        return found

    async def wait_for_answer(self, queue_id: str) -> str:
        """Wait until a message is completed, and return the text of its answer, or the text of its error."""

        async def is_completed() -> dict[str, Any] | None:
            found = await self.read_message(queue_id)
            return found if found.get("status") == "completed" else None

        try:
            body = (await eventually(is_completed, within=START_SECONDS))["response_body"]
        except AssertionError as error:
            raise AssertionError(f"{await self.read_message(queue_id)}\n{self.read_log()}") from error
        if "error" in body:
            return str(body["error"]["message"])
        return "".join(part["text"] for one in body["result"]["artifacts"] for part in one["parts"])

    async def read_account(self) -> dict[str, Any]:
        """Return the account of the workspace in the plane."""
        answer = await self._plane.http.get(f"/admin/a2a-queue/accounts?workspace_id={self.id}")
        account: dict[str, Any] = answer.json()["total"]
        return account


@asynccontextmanager
async def agent_directory(plane: Plane, directory: Path, name: str, *, url: str = "") -> AsyncIterator[ConnectedAgent]:
    """An agent whose process ends with the block."""
    agent = ConnectedAgent(plane, directory, name, url=url)
    try:
        yield agent
    finally:
        if agent._process is not None and agent._process.returncode is None:
            await agent.kill()


class Network:
    """A TCP proxy in front of a plane, which a test can cut: then it refuses connections and ends open ones."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = parts.hostname, parts.port
        self._server: asyncio.Server | None = None
        self._port = 0
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def restore(self) -> None:
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, far_writer}
        self._writers |= pair
        try:
            copying = [asyncio.create_task(_copy(*one)) for one in ((reader, far_writer), (far_reader, writer))]
            await asyncio.wait(copying, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._writers -= pair
            for one in pair:
                one.transport.abort()


@asynccontextmanager
async def open_network(plane: Plane) -> AsyncIterator[Network]:
    """A network between an agent and a plane."""
    network = Network(plane.url)
    await network.restore()
    try:
        yield network
    finally:
        await network.cut()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while content := await reader.read(65_536):
            writer.write(content)
            await writer.drain()
