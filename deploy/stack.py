"""Runs the plane as processes, in the order of their dependencies: PostgreSQL, the services, the gateway."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta

import httpx

from deploy import logins, migrations, postgres, processes, roles
from deploy.errors import StartError
from deploy.layout import Layout
from deploy.output import ProcessLogs
from deploy.progress import Progress
from deploy.readiness import wait_until_ready
from deploy.settings import UpSettings
from deploy.supervisor import ProcessExit, Supervisor

DATABASE_START_TIMEOUT = timedelta(seconds=60)
"""Enough for the recovery after a crash, which replays all changes since the last checkpoint."""

SERVICES_START_TIMEOUT = timedelta(seconds=60)
"""Enough for five Python processes on a busy machine; usually they need a few seconds."""


@asynccontextmanager
async def run_plane(
    settings: UpSettings,
    layout: Layout,
    *,
    inherited: Mapping[str, str],
    logs: ProcessLogs,
    progress: Progress,
    on_exit: Callable[[ProcessExit], None],
) -> AsyncIterator[Supervisor]:
    """Start a plane and yield once it is ready. On exit the gateway stops first and PostgreSQL last.

    `inherited` is the operator's environment; `on_exit` receives exits that were not requested.
    """
    async with (
        _clean_up_after(settings, layout, inherited),
        Supervisor(on_output=logs.append, on_exit=on_exit) as supervisor,
    ):
        database_urls = await prepare_database(settings, layout, supervisor, logs=logs, progress=progress)
        with progress.step("services and gateway"):
            commands = processes.build_commands(settings, layout, database_urls=database_urls, inherited=inherited)
            children = [supervisor.start(command) for command in commands]
            async with httpx.AsyncClient(base_url=settings.url, trust_env=False) as gateway:
                await wait_until_ready(
                    lambda: is_ready(gateway), children=children, logs=logs, timeout=SERVICES_START_TIMEOUT
                )
        yield supervisor


async def prepare_database(
    settings: UpSettings, layout: Layout, supervisor: Supervisor, *, logs: ProcessLogs, progress: Progress
) -> Mapping[str, str]:
    """Migrate a PostgreSQL, the configured or the embedded one, and return the URL of each service there."""
    if settings.database_url:
        return await _prepare_given_server(settings, settings.database_url.get_secret_value(), progress=progress)
    with progress.step("PostgreSQL"):
        server = await asyncio.to_thread(postgres.prepare, layout)
        child = supervisor.start(server.command)
        await wait_until_ready(
            lambda: postgres.can_connect(server), children=[child], logs=logs, timeout=DATABASE_START_TIMEOUT
        )
    prefix = settings.database_role_prefix
    with progress.step("roles and migrations"), _naming_log(logs):
        await roles.apply_roles(server.url, prefix=prefix)
        await migrations.migrate_all(server.url, prefix=prefix)
        passwords = await logins.create_logins(server.url, prefix=prefix, superuser_password=server.password)
    return {
        service: server.build_url(login=f"{prefix}_{service}", password=password)
        for service, password in passwords.items()
    }


@contextmanager
def _naming_log(logs: ProcessLogs) -> Iterator[None]:
    """Add the log of the embedded server to an error: it says more than the connection does."""
    try:
        yield
    except StartError as error:
        message = f"{error} (log: {logs.path(postgres.NAME)})"
        raise StartError(message) from error


async def _prepare_given_server(settings: UpSettings, url: str, *, progress: Progress) -> Mapping[str, str]:
    """Migrate the operator's server; say which services share a login and which databases share roles."""
    with progress.step("roles and migrations"):
        others = await roles.apply_roles(url, prefix=settings.database_role_prefix)
        await migrations.migrate_all(url, prefix=settings.database_role_prefix)
    if others:
        progress.print_line(
            f"The roles {settings.database_role_prefix}_... are also used in {', '.join(others)} of this server:"
            " give each plane its own DATABASE_ROLE_PREFIX."
        )
    if sharing := [service for service in processes.SERVICES if service not in settings.service_logins]:
        variables = ", ".join(f"{service.upper()}_DATABASE_URL" for service in sharing)
        progress.print_line(f"Services use the login of DATABASE_URL: {variables} would give each its own.")
    return {service: settings.service_logins.get(service, url) for service in processes.SERVICES}


async def is_ready(gateway: httpx.AsyncClient) -> bool:
    """Whether the gateway answers and every service can do its work, also the optional ones."""
    try:
        answer = await gateway.get("/ready", timeout=10)
    except httpx.TransportError:
        return False
    return answer.is_success and all(check["status"] == "ok" for check in answer.json()["checks"].values())


@asynccontextmanager
async def _clean_up_after(settings: UpSettings, layout: Layout, inherited: Mapping[str, str]) -> AsyncIterator[None]:
    """On exit stop agents that a killed provisioner could not stop, and remove the socket directories."""
    try:
        yield
    finally:
        if settings.backend == "process":
            from services.provisioner.backends.process import ProcessBackend  # not needed for the start

            backend = ProcessBackend(layout.home)
            for instance in await backend.list():
                await backend.stop(instance.workspace_id)
        elif settings.backend == "docker":
            from deploy import containers  # likewise

            await containers.stop_instances(settings, layout, inherited=inherited)
        layout.remove_socket_directories()
