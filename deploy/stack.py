"""The plane as processes: what stands on what, in the order in which it is started and stopped."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx

from deploy import migrations, postgres, processes, roles
from deploy.layout import Layout
from deploy.output import ProcessLogs
from deploy.progress import Progress
from deploy.readiness import wait_until_ready
from deploy.settings import UpSettings
from deploy.supervisor import ProcessExit, Supervisor

DATABASE_START_TIMEOUT = timedelta(seconds=60)
"""Recovery after a crash replays what was written since the last checkpoint; far less than this here."""

SERVICES_START_TIMEOUT = timedelta(seconds=60)
"""Five interpreters on a busy machine; seconds, usually."""


@asynccontextmanager
async def run_plane(
    settings: UpSettings,
    layout: Layout,
    *,
    inherited: Mapping[str, str],
    journal: ProcessLogs,
    progress: Progress,
    told: Callable[[ProcessExit], None],
) -> AsyncIterator[Supervisor]:
    """A plane that answers. Left, the gateway stops first and PostgreSQL last, and nothing keeps running."""
    async with _nothing_left(settings, layout), Supervisor(on_output=journal.on_output, on_exit=told) as supervisor:
        database_url = await prepare_database(settings, layout, supervisor, journal=journal, progress=progress)
        with progress.step("services and gateway"):
            commands = processes.build_commands(settings, layout, database_url=database_url, inherited=inherited)
            children = [supervisor.start(command) for command in commands]
            async with httpx.AsyncClient(base_url=settings.url, trust_env=False) as gateway:
                await wait_until_ready(
                    lambda: is_ready(gateway), children=children, journal=journal, within=SERVICES_START_TIMEOUT
                )
        yield supervisor


async def prepare_database(
    settings: UpSettings, layout: Layout, supervisor: Supervisor, *, journal: ProcessLogs, progress: Progress
) -> str:
    """The URL of a PostgreSQL with everything the services need in it: the one that was given, or our own."""
    url = settings.database_url.get_secret_value() if settings.database_url else ""
    if not url:
        with progress.step("PostgreSQL"):
            server = await asyncio.to_thread(postgres.prepare, layout)
            child = supervisor.start(server.command)
            await wait_until_ready(
                lambda: postgres.can_connect(server), children=[child], journal=journal, within=DATABASE_START_TIMEOUT
            )
        url = server.url
    with progress.step("roles and migrations"):
        await roles.apply_roles(url)
        await migrations.migrate_all(url)
    return url


@asynccontextmanager
async def _nothing_left(settings: UpSettings, layout: Layout) -> AsyncIterator[None]:
    """End the agents that a provisioner which was itself killed, or still starting, could not end; then clear up."""
    try:
        yield
    finally:
        if settings.backend == "process":
            from services.provisioner.backends.process import ProcessBackend  # needed at the end, not for the start

            backend = ProcessBackend(layout.home)
            for instance in await backend.list():
                await backend.stop(instance.workspace_id)
        layout.remove_socket_directories()


async def is_ready(gateway: httpx.AsyncClient) -> bool:
    """Whether the gateway answers and reaches every service, also those it could do without."""
    try:
        answer = await gateway.get("/ready", timeout=2)
    except httpx.TransportError:
        return False
    return answer.is_success and all(check["status"] == "ok" for check in answer.json()["checks"].values())
