"""The whole plane for a test or a benchmark: in one event loop, or as the processes that `make up` starts."""

import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from signal import SIGCONT, SIGKILL, SIGSTOP
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import asyncpg
import httpx
from rich.console import Console

from deploy import stack
from deploy.layout import Layout
from deploy.output import Journal
from deploy.processes import GATEWAY, environment_of
from deploy.progress import Progress
from deploy.readiness import until
from deploy.settings import UpSettings, inherited, told_by
from deploy.supervisor import Supervisor
from gateway import server as face
from gateway.settings import Settings as GatewaySettings
from services.a2a_proxy.app import service as a2a_proxy
from services.auth.app import service as auth
from services.chassis.service import Service, run_service
from services.provisioner.app import service as provisioner
from services.registry.app import service as registry

IN_ORDER: tuple[Service[Any], ...] = (auth, registry, provisioner, a2a_proxy)
"""Whoever is called before its callers, as in `deploy.processes`."""


class Plane:
    """A plane that stands for the length of an `async with`, and leaves nothing running."""

    def __init__(
        self,
        *,
        backend: str = "process",
        home: Path | None = None,
        database_url: str | None = None,
        env: Mapping[str, str] | None = None,
        processes: bool = False,
    ) -> None:
        """
        `home` is kept where it is given; else the plane has one for as long as it stands.

        `database_url` is a database for this plane alone, such as `fresh_database` makes; without one it brings its
        own PostgreSQL. `env` is what its processes are told besides. With `processes` there is one process each, as
        `make up` has them; else everything runs in this event loop.
        """
        self.url = ""
        self.http = httpx.AsyncClient()
        self.admin: dict[str, str] = {}
        """Headers of the administrator; none in open development."""
        self._given = {"BACKEND": backend, "DATABASE_URL": database_url or "", **(env or {})}
        self._home = home
        self._stands = self._as_processes if processes else self._in_this_loop
        self._supervisor: Supervisor | None = None
        self._standing = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._standing.enter_async_context(self._stood())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._standing.__aexit__(kind, error, trace)

    def pid(self, name: str) -> int | None:
        """The process of a service, the gateway or `postgres`; `None` while it is being started again."""
        return self._supervised().child(name).pid

    def address(self, name: str) -> str:
        """Where a service listens."""
        return f"unix:{self._layout.socket(name)}"

    def kill(self, name: str) -> None:
        """Kill a process as nothing can prevent. It is started again."""
        self._supervised().child(name).signal(SIGKILL)

    async def stop(self, name: str) -> None:
        """Stop a process, and leave it stopped until `start`."""
        await self._supervised().child(name).stop()

    def start(self, name: str) -> None:
        """Start a process that was stopped."""
        supervisor = self._supervised()
        supervisor.start(supervisor.child(name).command)

    async def gateway(self, name: str, **told: str) -> str:
        """Start one more gateway before the same services; its URL, once it answers. `told` is its environment."""
        supervisor = self._supervised()
        first, port = supervisor.child(GATEWAY).command, _free_port()
        environment = {**first.environment, "PORT": str(port), **told}
        child = supervisor.start(replace(first, name=name, environment=environment))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            await until(
                lambda: stack.ready(http), children=[child], journal=self._journal, within=stack.SERVICES_WITHIN
            )
        return str(http.base_url).rstrip("/")

    def freeze(self, name: str) -> None:
        """Make a process say nothing and take everything, until `thaw`."""
        self._supervised().child(name).signal(SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let a frozen process go on."""
        self._supervised().child(name).signal(SIGCONT)

    def _supervised(self) -> Supervisor:
        if self._supervisor is None:
            message = "this plane has no processes of its own: Plane(processes=True)"
            raise RuntimeError(message)
        return self._supervisor

    @asynccontextmanager
    async def _stood(self) -> AsyncIterator[None]:
        with _home(self._home) as home, closing(Journal(home.logs)) as journal:
            self._journal, self._layout = journal, home
            settings = self._settings(home)
            async with (
                self._stands(settings, home, journal),
                httpx.AsyncClient(base_url=settings.url, trust_env=False) as self.http,
            ):
                self.url = settings.url
                await until(lambda: stack.ready(self.http), children=[], journal=journal, within=stack.SERVICES_WITHIN)
                yield

    def _settings(self, home: Layout) -> UpSettings:
        told = {"PORT": str(_free_port()), **self._given, "MOLECULE_HOME": str(home.home), "DEMO": "0"}
        settings = told_by(told, UpSettings)
        if settings.admin_token:
            self.admin = {"Authorization": f"Bearer {settings.admin_token.get_secret_value()}"}
        return settings

    @asynccontextmanager
    async def _as_processes(self, settings: UpSettings, home: Layout, journal: Journal) -> AsyncIterator[None]:
        environment = {**inherited(), **self._given}
        async with stack.standing(
            settings, home, inherited=environment, journal=journal, progress=_silent(), told=lambda _: None
        ) as self._supervisor:
            yield

    @asynccontextmanager
    async def _in_this_loop(self, settings: UpSettings, home: Layout, journal: Journal) -> AsyncIterator[None]:
        async with (
            Supervisor(hear=journal.hear, told=lambda _: None) as supervisor,
            AsyncExitStack() as standing,
        ):
            url = await stack.database(settings, home, supervisor, journal=journal, progress=_silent())
            environment = {**self._given, **environment_of(settings, home, database_url=url)}
            for service in IN_ORDER:
                await standing.enter_async_context(run_service(service, told_by(environment, service.settings)))
            await standing.enter_async_context(face.run_gateway(told_by(environment, GatewaySettings)))
            yield


@asynccontextmanager
async def fresh_database(server_url: str) -> AsyncIterator[str]:
    """A database of its own on a PostgreSQL that is there, dropped at the end."""
    name = f"molecule_{token_hex(6)}"
    connection = await asyncpg.connect(server_url)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
        try:
            yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
        finally:
            await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await connection.close()


@contextmanager
def _home(given: Path | None) -> Iterator[Layout]:
    with TemporaryDirectory(prefix="molecule-plane-") as own:
        layout = Layout.of(given or Path(own) / "home")
        layout.prepare()
        try:
            yield layout
        finally:
            layout.tidy()


def _silent() -> Progress:
    return Progress(Console(quiet=True))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
