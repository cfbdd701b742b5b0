"""The agent as a process: tests start it and stop it as users do."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address

import httpx
import psutil
import pytest

from tests.molecule_agent.a2a_client import text_of
from tests.molecule_agent.conftest import WORKSPACE_ID
from tests.molecule_agent.fake_plane import RemovedWorkspacePlane
from tests.waiting import eventually

EVERYWHERE = str(IPv4Address(0))


class Process(subprocess.Popen):
    """A process of `python -m molecule_agent` and its output so far."""

    def __init__(self, root, **environment: str) -> None:
        self.log = root / "log"
        with self.log.open("w") as log:
            super().__init__(
                [sys.executable, "-m", "molecule_agent"],
                env={"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1", "MOLECULE_ROOT": str(root)} | environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        return self.log.read_text()


@pytest.fixture
def started(tmp_path, plane):
    @contextmanager
    def _started(**environment: str) -> Iterator[Process]:
        described = {"WORKSPACE_ID": WORKSPACE_ID, "PLATFORM_URL": plane.url} | environment
        process = Process(tmp_path, **described)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    return _started


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_agent_registers_answers_and_ends_on_a_signal(started, plane, client, number):
    with started() as process:
        await eventually(lambda: plane.heartbeats, within=20)
        task = await client.send_message(plane.registered[0]["url"], "hello")
        process.send_signal(number)
        status = await eventually(lambda: process.poll() is not None and [process.returncode], within=10)

    assert text_of(task) == "hello"
    assert status == [0]
    assert "registered, delivery mode push" in process.output
    assert all(re.match(r"\d{4}-\d\d-\d\d ", line) for line in process.output.splitlines())
    assert plane.token not in process.output


async def test_a_stopping_agent_finishes_running_tasks_and_refuses_new_ones(started, plane, client):
    adapter = "tests.molecule_agent.adapters.slow"
    with started(ADAPTER_MODULE=adapter) as process:
        await eventually(lambda: plane.heartbeats, within=20)
        url = plane.registered[0]["url"]
        events = client.stream_message(url, "hello")
        await anext(events)
        process.terminate()
        await eventually(lambda: _refuses_connections(url))
        rest = [event async for event in events]
        status = await eventually(lambda: process.poll() is not None and [process.returncode], within=10)

    assert rest[-1]["statusUpdate"]["status"]["state"] == "TASK_STATE_COMPLETED"
    assert status == [0]


@pytest.mark.parametrize("plane", [RemovedWorkspacePlane()])
async def test_an_agent_of_a_removed_workspace_ends_by_itself(started, plane):
    async with plane.open():
        with started(PLATFORM_URL=plane.url) as process:
            status = await eventually(lambda: process.poll() is not None and [process.returncode], within=20)

    assert status == [0]
    assert "the workspace was removed" in process.output


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"WORKSPACE_ID": ""}, "molecule_agent: WORKSPACE_ID is required"),
        ({"PORT": "many"}, "molecule_agent: PORT must be a port from 0 to 65535 (got 'many')"),
        (
            {"ADAPTER_MODULE": "tests.molecule_agent.adapters.broken"},
            "molecule_agent: ADAPTER_MODULE tests.molecule_agent.adapters.broken: RuntimeError: a library is missing",
        ),
    ],
)
async def test_an_agent_that_cannot_start_says_why_in_one_line(started, environment, line):
    with started(**environment) as process:
        status = await eventually(lambda: process.poll() is not None and [process.returncode], within=20)

    assert status == [1]
    assert process.output.splitlines() == [line]


async def test_a_port_in_use_is_reported_in_one_line(started):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with started(PORT=port) as process:
            status = await eventually(lambda: process.poll() is not None and [process.returncode], within=20)

    assert status == [1]
    assert process.output.splitlines() == [
        f"molecule_agent: cannot listen on 127.0.0.1 port {port}: Address already in use"
    ]


@pytest.mark.parametrize(
    ("host", "bound"), [("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("ws-1.internal", EVERYWHERE)]
)
async def test_only_an_agent_whose_host_is_not_loopback_listens_on_every_address(start, plane, host, bound):
    async with start(plane, host=host) as agent:
        await eventually(lambda: plane.registered)
        port = int(agent.url.rstrip("/").rpartition(":")[2])
        listening = _listening_addresses(port)

    assert agent.url == f"http://{host}:{port}/"
    assert listening == {bound}


def _listening_addresses(port: int) -> set[str]:
    return {
        connection.laddr.ip
        for connection in psutil.Process().net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
    }


def _refuses_connections(url: str) -> bool:
    try:
        httpx.get(url + "health")
    except httpx.ConnectError:
        return True
    return False
