"""Opens transactions, and gives each access to the statements of every noun."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.auth.store.audit_log import AuditLogStore
from services.auth.store.last_used import LastUsedStore
from services.auth.store.org_tokens import OrgTokenStore
from services.auth.store.placements import PlacementStore
from services.auth.store.revocations import RevocationStore
from services.auth.store.sessions import SessionStore
from services.auth.store.token_tree import TokenTreeStore
from services.auth.store.vault import VaultStore
from services.auth.store.workspace_tokens import WorkspaceTokenStore
from services.chassis.database import transaction


class Store:
    """The database of auth."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reads = engine.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def begin(self) -> AsyncIterator["Transaction"]:
        """Open a transaction that commits at the end of the block, and rolls back if the block raises."""
        async with transaction(self._engine) as connection:
            yield Transaction(connection)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator["Transaction"]:
        """Open a connection that commits each statement: single reads save the BEGIN and the COMMIT."""
        async with transaction(self._reads) as connection:
            yield Transaction(connection)


class Transaction:
    """One transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.placements = PlacementStore(connection)
        self.workspace_tokens = WorkspaceTokenStore(connection)
        self.org_tokens = OrgTokenStore(connection)
        self.token_tree = TokenTreeStore(connection)
        self.sessions = SessionStore(connection)
        self.last_used = LastUsedStore(connection)
        self.revocations = RevocationStore(connection)
        self.vault = VaultStore(connection)
        self.audit_log = AuditLogStore(connection)

    async def ping(self) -> None:
        """Return if the database answers; raises `Unavailable` otherwise."""
        await self._connection.execute(sa.select(1))
