"""Runs the whole A2A proxy with a fake registry, a fake provisioner and a fake auth."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from services.a2a_proxy.app import service
from services.a2a_proxy.model import Activity, ActivityQuery, WorkspaceId
from services.a2a_proxy.queue.store.transaction import QueueStore
from services.a2a_proxy.settings import Settings
from services.a2a_proxy.store import Store
from services.chassis.service import run_service
from services.chassis.settings import Mode
from tests import databases
from tests.a2a_proxy.fake_services import FakeAuth, FakeEvents, FakeLifecycle, FakeProvisioner, FakeRegistry, FakeVault
from tests.rpc import serve


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningProxy:
    """A running proxy: its address, the fakes that it calls, and its database."""

    address: str
    registry: FakeRegistry
    lifecycle: FakeLifecycle
    events: FakeEvents
    provisioner: FakeProvisioner
    auth: FakeAuth
    vault: FakeVault
    store: Store
    queue: QueueStore
    database_url: str
    fakes: str
    """The address of the fakes."""
    stop: asyncio.Event
    """Set it to stop the proxy as a signal does; the fakes and the database stay."""
    stopped: asyncio.Event
    """Set when the proxy has stopped."""

    async def list_activities(self, workspace_id: str) -> list[Activity]:
        """Return the activity rows of a workspace, the oldest first."""
        async with self.store.begin() as tx:
            return (await tx.list_activities(ActivityQuery(workspace_id=WorkspaceId(workspace_id))))[::-1]


@asynccontextmanager
async def run_proxy(database_url: str, **settings) -> AsyncIterator[RunningProxy]:
    """Run a proxy for the length of the block, in development unless the settings say otherwise."""
    registry, lifecycle, provisioner, auth = FakeRegistry(), FakeLifecycle(), FakeProvisioner(), FakeAuth()
    events, vault = FakeEvents(), FakeVault()
    served = [registry, lifecycle, events, provisioner, auth, vault]
    async with (
        databases.open_empty_database(database_url, service) as engine,
        serve([fake.servicer() for fake in served]) as fakes,
    ):
        stopped = RunningProxy(
            address="",
            registry=registry,
            lifecycle=lifecycle,
            events=events,
            provisioner=provisioner,
            auth=auth,
            vault=vault,
            store=Store(engine),
            queue=QueueStore(engine),
            database_url=database_url,
            fakes=fakes,
            stop=asyncio.Event(),
            stopped=asyncio.Event(),
        )
        async with run_replica(stopped, **settings) as proxy:
            yield proxy


@asynccontextmanager
async def run_replica(other: RunningProxy, **settings) -> AsyncIterator[RunningProxy]:
    """Run a further proxy with the database and the fakes of another one, for the length of the block."""
    values = {"mode": Mode.DEVELOPMENT, "activity_delay": timedelta(milliseconds=1), "database_pool_size": 3} | settings
    with tempfile.TemporaryDirectory(prefix="a2a-") as folder:
        async with asyncio.TaskGroup() as group:
            loaded = Settings(
                listen=f"unix:{Path(folder) / 'a2a_proxy.sock'}",
                database_url=other.database_url,
                registry_targets=other.fakes,
                provisioner_targets=other.fakes,
                auth_targets=other.fakes,
                **values,
            )
            stop, stopped = asyncio.Event(), asyncio.Event()
            address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            group.create_task(_serve(loaded, address, stop, stopped))
            try:
                yield replace(other, address=await address, stop=stop, stopped=stopped)
            finally:
                stop.set()


async def _serve(settings: Settings, address: asyncio.Future[str], stop: asyncio.Event, stopped: asyncio.Event) -> None:
    async with run_service(service, settings) as bound:
        address.set_result(bound)
        await stop.wait()
    stopped.set()
