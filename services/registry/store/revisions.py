"""Reads changes by revision, and which provisioners watch the feed."""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.registry.store.identity_map import IdentityMap
from services.registry.store.tables import workspaces as tables
from services.registry.store.tables.workspaces import watchers, workspaces
from services.registry.workspace.model import NO_BACKEND, Workspace

WATCHER_LIFETIME = timedelta(seconds=10)
"""How long after its last sign a provisioner still counts as connected."""


class RevisionQueries:
    """The workspaces table as a feed, within one transaction."""

    def __init__(self, identity_map: IdentityMap, now: datetime) -> None:
        self._identity_map = identity_map
        self._now = now

    async def get_head(self) -> int:
        """Return the highest revision."""
        return (
            await self._identity_map.connection.scalar(
                sa.select(sa.func.coalesce(sa.func.max(workspaces.c.revision), 0))
            )
            or 0
        )

    async def list_changed(self, revision: int, *, limit: int) -> list[Workspace]:
        """Return the workspaces changed after a revision, by revision; removed and purged ones included."""
        statement = tables.select_workspaces.where(workspaces.c.revision > revision)
        return await self._identity_map.load(statement.order_by(workspaces.c.revision).limit(limit))

    async def list_live(self, revision: int, *, limit: int) -> list[Workspace]:
        """Return the same, without workspaces that are removed and stopped."""
        statement = tables.select_workspaces.where(workspaces.c.revision > revision, tables.is_live)
        return await self._identity_map.load(statement.order_by(workspaces.c.revision).limit(limit))

    async def record_watcher(self, replica_id: str, backend: str) -> None:
        """Record that a provisioner with this backend watches this replica."""
        upsert = insert(watchers).values(replica_id=replica_id, backend=backend, seen_at=self._now)
        await self._identity_map.connection.execute(
            upsert.on_conflict_do_update(index_elements=["replica_id", "backend"], set_={"seen_at": self._now})
        )

    async def list_backends(self) -> frozenset[str]:
        """Return the backends of the provisioners that are connected now."""
        since = self._now - WATCHER_LIFETIME
        found = await self._identity_map.connection.execute(
            sa.select(watchers.c.backend).where(watchers.c.seen_at > since)
        )
        return frozenset(found.scalars())

    async def is_watched(self, now: datetime) -> bool:
        """Whether a provisioner that can start instances is connected at `now`."""
        since = now - WATCHER_LIFETIME
        statement = sa.select(watchers.c.backend).where(watchers.c.seen_at > since, watchers.c.backend != NO_BACKEND)
        return await self._identity_map.connection.scalar(statement.limit(1)) is not None
