"""Runs a whole plane for a test or a benchmark: in one event loop, or as the processes of `molecule up`."""

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

from deploy import postgres, stack
from deploy.layout import Layout
from deploy.output import ProcessLogs
from deploy.processes import GATEWAY, build_environments
from deploy.progress import Progress
from deploy.readiness import wait_until_ready
from deploy.settings import UpSettings, copy_environment, read_settings_from
from deploy.supervisor import Supervisor
from gateway import server as gateway_server
from gateway.settings import Settings as GatewaySettings
from services.a2a_proxy.app import service as a2a_proxy
from services.auth.app import service as auth
from services.chassis.service import Service, run_service
from services.provisioner.app import service as provisioner
from services.registry.app import service as registry

SERVICES_IN_START_ORDER: tuple[Service[Any], ...] = (auth, registry, provisioner, a2a_proxy)
"""Each service is started before its callers, as in `deploy.processes`."""

ANSWER_TIMEOUT = httpx.Timeout(40, connect=5)
"""Seconds until a request of the client fails. The plane may stop an agent for 30 s before it answers."""


class Plane:
    """A plane that runs within an `async with`."""

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
        A given `home` is kept; otherwise the plane has a temporary one.

        `database_url` is a database for this plane alone, such as one of `fresh_database`; without one the plane starts
        the embedded PostgreSQL. `env` are further variables of its processes. With `processes` each service is a
        process, as with `molecule up`; otherwise everything runs in this event loop.
        """
        self.url = ""
        self.http = httpx.AsyncClient(trust_env=False)
        self.admin: dict[str, str] = {}
        """Headers of the operator; empty if the plane has no ADMIN_TOKEN."""
        self._environment = {"BACKEND": backend, "DATABASE_URL": database_url or "", **(env or {})}
        self._home = home
        self._start_services = self._start_processes if processes else self._start_in_this_loop
        self._supervisor: Supervisor | None = None
        self._exit_stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._exit_stack.enter_async_context(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._exit_stack.__aexit__(kind, error, trace)

    def pid(self, name: str) -> int | None:
        """Return the pid of a service, the gateway or `postgres`; `None` while it waits for a restart."""
        return self._require_supervisor().child(name).pid

    def count_exits(self, name: str) -> int:
        """Return how often a process ended without being stopped."""
        return self._require_supervisor().child(name).exits

    def read_log(self, name: str) -> str:
        """Return what a process wrote."""
        return self._logs.path(name).read_text()

    def address(self, name: str) -> str:
        """Return the address of a service."""
        return f"unix:{self._layout.socket(name)}"

    @property
    def database_url(self) -> str:
        """The URL of the operator of its PostgreSQL: the given one, or that of the embedded one's superuser."""
        password = (self._layout.keys / postgres.NAME).read_text().strip()
        sockets = self._layout.database_sockets
        embedded = f"postgresql://{postgres.SUPERUSER}:{password}@/{postgres.DATABASE}?host={sockets}"
        return self._environment["DATABASE_URL"] or embedded

    def kill(self, name: str) -> None:
        """Kill a process with SIGKILL. It is restarted."""
        self._require_supervisor().child(name).signal(SIGKILL)

    async def stop(self, name: str) -> None:
        """Stop a process without a restart."""
        await self._require_supervisor().child(name).stop()

    def start(self, name: str, **environment: str) -> None:
        """Start a stopped process again. `environment` are further variables."""
        supervisor = self._require_supervisor()
        command = supervisor.child(name).command
        supervisor.start(replace(command, environment={**command.environment, **environment}))

    def start_replica(self, service: str, name: str, **environment: str) -> str:
        """Start one more process of a service and return its address. `environment` are further variables."""
        supervisor = self._require_supervisor()
        first, address = supervisor.child(service).command, self.address(name)
        variables = {**first.environment, f"{service.upper()}_LISTEN": address, **environment}
        supervisor.start(replace(first, name=name, environment=variables))
        return address

    async def start_gateway(self, name: str, **environment: str) -> str:
        """Start one more gateway for the same services and return its URL. `environment` are further variables."""
        supervisor = self._require_supervisor()
        first, port = supervisor.child(GATEWAY).command, _find_free_port()
        variables = {**first.environment, "PORT": str(port), **environment}
        child = supervisor.start(replace(first, name=name, environment=variables))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            await wait_until_ready(
                lambda: stack.is_ready(http),
                children=[child],
                logs=self._logs,
                timeout=stack.SERVICES_START_TIMEOUT,
            )
        return str(http.base_url).rstrip("/")

    def suspend(self, name: str) -> None:
        """Suspend a process: it still accepts connections but never answers, until `resume`."""
        self._require_supervisor().child(name).signal(SIGSTOP)

    def resume(self, name: str) -> None:
        """Resume a suspended process."""
        self._require_supervisor().child(name).signal(SIGCONT)

    def _require_supervisor(self) -> Supervisor:
        if self._supervisor is None:
            message = "this plane has no processes of its own: Plane(processes=True)"
            raise RuntimeError(message)
        return self._supervisor

    @asynccontextmanager
    async def _run(self) -> AsyncIterator[None]:
        with _prepare_home(self._home) as home, closing(ProcessLogs(home.logs)) as logs:
            self._logs, self._layout = logs, home
            settings = self._build_settings(home)
            if settings.backend == "docker":
                from deploy import containers  # not needed for the other backends

                environment = {**copy_environment(), **self._environment}
                settings = await containers.prepare(
                    settings, home, inherited=environment, progress=_build_silent_progress()
                )
            async with (
                self._start_services(settings, home, logs),
                httpx.AsyncClient(base_url=settings.url, timeout=ANSWER_TIMEOUT, trust_env=False) as self.http,
            ):
                self.url = settings.url
                await wait_until_ready(
                    lambda: stack.is_ready(self.http), children=[], logs=logs, timeout=stack.SERVICES_START_TIMEOUT
                )
                yield

    def _build_settings(self, home: Layout) -> UpSettings:
        environment = {
            "PORT": str(_find_free_port()),
            **self._environment,
            "MOLECULE_HOME": str(home.home),
            "DEMO": "0",
        }
        settings = read_settings_from(environment, UpSettings)
        if settings.admin_token:
            self.admin = {"Authorization": f"Bearer {settings.admin_token.get_secret_value()}"}
        return settings

    @asynccontextmanager
    async def _start_processes(self, settings: UpSettings, home: Layout, logs: ProcessLogs) -> AsyncIterator[None]:
        environment = {**copy_environment(), **self._environment}
        async with stack.run_plane(
            settings, home, inherited=environment, logs=logs, progress=_build_silent_progress(), on_exit=lambda _: None
        ) as self._supervisor:
            yield

    @asynccontextmanager
    async def _start_in_this_loop(self, settings: UpSettings, home: Layout, logs: ProcessLogs) -> AsyncIterator[None]:
        async with (
            Supervisor(on_output=logs.append, on_exit=lambda _: None) as supervisor,
            AsyncExitStack() as services,
        ):
            urls = await stack.prepare_database(
                settings, home, supervisor, logs=logs, progress=_build_silent_progress()
            )
            environments = build_environments(settings, home, database_urls=urls, inherited=self._environment)
            for service in SERVICES_IN_START_ORDER:
                await services.enter_async_context(
                    run_service(service, read_settings_from(environments[service.name], service.settings))
                )
            await services.enter_async_context(
                gateway_server.run_gateway(read_settings_from(environments[GATEWAY], GatewaySettings))
            )
            yield


@asynccontextmanager
async def fresh_database(server_url: str, *, template: str = "template1") -> AsyncIterator[str]:
    """Create a database as a copy of `template` and yield its URL; the database is dropped afterwards."""
    name = f"molecule_{token_hex(6)}"
    connection = await asyncpg.connect(server_url)
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
        finally:
            await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await connection.close()


@contextmanager
def _prepare_home(given: Path | None) -> Iterator[Layout]:
    with TemporaryDirectory(prefix="molecule-plane-") as temporary:
        layout = Layout.for_home(given or Path(temporary) / "home")
        layout.prepare()
        try:
            yield layout
        finally:
            layout.remove_socket_directories()


def _build_silent_progress() -> Progress:
    return Progress(Console(quiet=True))


def _find_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
