"""The whole post as it runs, between a book and hands that do what a test says."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from services.a2a_proxy.app import service
from services.a2a_proxy.model import Activity, ActivityQuery, WorkspaceId
from services.a2a_proxy.settings import Settings
from services.a2a_proxy.store import Store
from services.chassis.service import run_service
from services.chassis.settings import Mode
from tests import databases
from tests.a2a_proxy.neighbours import Alarm, Book, Hands
from tests.rpc import listening


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """A running post: where it listens, its neighbours, and what its log says."""

    address: str
    book: Book
    alarm: Alarm
    hands: Hands
    store: Store
    stop: asyncio.Event
    """Set it, and the post stops as a signal would stop it; its neighbours and its database stay."""
    stopped: asyncio.Event
    """Set once it has stopped."""

    async def log(self, workspace_id: str) -> list[Activity]:
        """The rows of a workspace, the oldest first."""
        async with self.store.begin() as tx:
            return (await tx.rows(ActivityQuery(workspace_id=WorkspaceId(workspace_id))))[::-1]


@asynccontextmanager
async def open_office(database_url: str, **settings) -> AsyncIterator[Office]:
    """Run the post for the length of the block, in development unless told otherwise."""
    book, alarm, hands = Book(), Alarm(), Hands()
    values = {"mode": Mode.DEVELOPMENT, "activity_delay": timedelta(milliseconds=1)} | settings
    with tempfile.TemporaryDirectory(prefix="post-") as folder:
        async with (
            databases.fresh(database_url, service) as engine,
            listening([book.servicer(), alarm.servicer(), hands.servicer()]) as neighbours,
            asyncio.TaskGroup() as group,
        ):
            told = Settings(
                listen=f"unix:{Path(folder) / 'a2a_proxy.sock'}",
                database_url=database_url,
                registry_targets=neighbours,
                provisioner_targets=neighbours,
                **values,
            )
            stop, stopped = asyncio.Event(), asyncio.Event()
            address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            group.create_task(_served(told, address, stop, stopped))
            office = Office(
                address=await address,
                book=book,
                alarm=alarm,
                hands=hands,
                store=Store(engine),
                stop=stop,
                stopped=stopped,
            )
            try:
                yield office
            finally:
                stop.set()


async def _served(
    settings: Settings, address: asyncio.Future[str], stop: asyncio.Event, stopped: asyncio.Event
) -> None:
    async with run_service(service, settings) as bound:
        address.set_result(bound)
        await stop.wait()
    stopped.set()
