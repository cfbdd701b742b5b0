"""The whole post as it runs, between a book and hands that do what a test says."""

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
from services.chassis.service import serving
from services.chassis.settings import Mode
from tests import databases
from tests.a2a_proxy.neighbours import Book, Hands
from tests.rpc import listening


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """A running post: where it listens, its neighbours, and what its log says."""

    address: str
    book: Book
    hands: Hands
    store: Store

    async def log(self, workspace_id: str) -> list[Activity]:
        """The rows of a workspace, the oldest first."""
        async with self.store.begin() as tx:
            return (await tx.rows(ActivityQuery(workspace_id=WorkspaceId(workspace_id))))[::-1]


@asynccontextmanager
async def open_office(database_url: str, **settings) -> AsyncIterator[Office]:
    """Run the post for the length of the block, in development unless told otherwise."""
    book, hands = Book(), Hands()
    values = {"mode": Mode.DEVELOPMENT, "activity_delay": timedelta(milliseconds=1)} | settings
    with tempfile.TemporaryDirectory(prefix="post-") as folder:
        async with (
            databases.fresh(database_url, service) as engine,
            listening([book.servicer(), hands.servicer()]) as neighbours,
            serving(
                service,
                Settings(
                    listen=f"unix:{Path(folder) / 'a2a_proxy.sock'}",
                    database_url=database_url,
                    registry_targets=neighbours,
                    provisioner_targets=neighbours,
                    **values,
                ),
            ) as address,
        ):
            yield Office(address=address, book=book, hands=hands, store=Store(engine))
