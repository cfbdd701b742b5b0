"""Runs the plane of a chaos run: two gateways, two A2A proxies with one queue, PostgreSQL, and agents as processes."""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncpg

from chaos.model import AgentKind, Target
from chaos.settings import MAX_CONCURRENT_TASKS, PLANE_ENVIRONMENT
from deploy.plane import Plane

SECOND_PROXY = "a2a_proxy_2"

SECOND_GATEWAY = "gateway_2"

CALLERS = 3
"""Workspaces that send messages."""

RESTART_TIMEOUT_SECONDS = 60.0

POLL_SECONDS = 0.05


class NotRecoveredError(Exception):
    """A process does not run again after a fault, so the rest of the run would prove nothing."""


class Subject:
    """The plane of a run, its targets and its callers, within an `async with`."""

    def __init__(self, directory: Path) -> None:
        """`directory` receives the home of the plane and the records of the run."""
        self.directory = directory
        self.plane = Plane(backend="none", home=directory / "home", env=PLANE_ENVIRONMENT, processes=True)
        self.targets: list[Target] = []
        self.callers: dict[str, str] = {}
        self.gateways: list[str] = []
        self._ports = {kind.value: _find_free_port() for kind in AgentKind if kind is not AgentKind.POLL}
        self._agents: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        """Start everything, and register the workspaces."""
        await self._start_agents()
        await self.plane.__aenter__()
        proxy = self.plane.start_replica("a2a_proxy", SECOND_PROXY)
        second = await self.plane.start_gateway(SECOND_GATEWAY, A2A_PROXY_TARGETS=proxy)
        self.gateways = [self.plane.url, second]
        await self._create_workspaces()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything."""
        await self.plane.__aexit__(kind, error, trace)
        if self._agents is not None:
            self._agents.kill()
            await self._agents.wait()

    async def restart_agents(self) -> None:
        """Kill all agents with SIGKILL and start them again."""
        if self._agents is not None:
            self._agents.kill()
            await self._agents.wait()
        await self._start_agents()

    async def wait_for_restart(self, name: str, old_pid: int | None) -> None:
        """Return once a process runs again after its end."""

        async def has_restarted() -> bool:
            return self.plane.pid(name) not in {None, old_pid}

        await _wait_until(has_restarted)

    async def wait_for_database(self) -> None:
        """Return once PostgreSQL accepts connections."""
        await _wait_until(self._can_connect)

    @asynccontextmanager
    async def open_database(self) -> AsyncIterator[asyncpg.Connection]:
        """Open a connection of the superuser."""
        connection = await asyncpg.connect(self.plane.database_url, timeout=10)
        try:
            yield connection
        finally:
            await connection.close(timeout=10)

    async def _can_connect(self) -> bool:
        try:
            async with self.open_database() as connection:
                await connection.fetchval("select 1")
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        return True

    async def _start_agents(self) -> None:
        arguments = (str(self.directory), json.dumps(self._ports))
        self._agents = await asyncio.create_subprocess_exec(sys.executable, "-m", "chaos.agents", *arguments)

    async def _create_workspaces(self) -> None:
        for kind in AgentKind:
            is_poll = kind is AgentKind.POLL
            address = {} if is_poll else {"url": f"http://127.0.0.1:{self._ports[kind]}/"}
            id_, token = await self._create_workspace(
                kind, **address, delivery_mode="poll" if is_poll else "push", max_concurrent_tasks=MAX_CONCURRENT_TASKS
            )
            self.targets.append(Target(id=id_, kind=kind, token=token))
        for number in range(CALLERS):
            id_, token = await self._create_workspace(f"caller {number}")
            self.callers[id_] = token

    async def _create_workspace(self, name: str, **fields: str | int) -> tuple[str, str]:
        """Create an external workspace; return its id and its token."""
        body = {"name": name, "runtime": "external", "external": True, **fields}
        answer = await self.plane.http.post("/workspaces", json=body)
        answer.raise_for_status()
        created = answer.json()
        return created["id"], created["connection"]["auth_token"]


async def _wait_until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Return once the condition holds; raises `NotRecoveredError`."""
    try:
        async with asyncio.timeout(RESTART_TIMEOUT_SECONDS):
            while True:
                if await condition():
                    return
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise NotRecoveredError from None


def _find_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
