"""What changed after a revision, and who listens."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.registry.store.identity_map import IdentityMap
from services.registry.store.tables import workspaces as tables
from services.registry.store.tables.workspaces import watchers, workspaces
from services.registry.workspace.model import NO_BACKEND, Workspace


class RevisionQueries:
    """The table as a feed."""

    def __init__(self, reader: IdentityMap, now: datetime) -> None:
        self._identity_map = reader
        self._now = now

    async def get_head(self) -> int:
        """The highest revision."""
        return (
            await self._identity_map.connection.scalar(
                sa.select(sa.func.coalesce(sa.func.max(workspaces.c.revision), 0))
            )
            or 0
        )

    async def list_changed(self, revision: int, *, limit: int) -> list[Workspace]:
        """What changed after a revision, in the order of revisions; also what was removed or purged."""
        statement = tables.select_workspaces.where(workspaces.c.revision > revision)
        return await self._identity_map.load(statement.order_by(workspaces.c.revision).limit(limit))

    async def list_live(self, revision: int, *, limit: int) -> list[Workspace]:
        """The same, without removals that are over."""
        statement = tables.select_workspaces.where(workspaces.c.revision > revision, tables.is_live)
        return await self._identity_map.load(statement.order_by(workspaces.c.revision).limit(limit))

    async def record_watcher(self, replica_id: str, backend: str) -> None:
        """A provisioner with this backend listens to this replica."""
        put = insert(watchers).values(replica_id=replica_id, backend=backend, seen_at=self._now)
        await self._identity_map.connection.execute(
            put.on_conflict_do_update(index_elements=["replica_id", "backend"], set_={"seen_at": self._now})
        )

    async def is_watched(self, since: datetime) -> bool:
        """Whether a provisioner that can start instances listened since then."""
        statement = sa.select(watchers.c.backend).where(watchers.c.seen_at > since, watchers.c.backend != NO_BACKEND)
        return await self._identity_map.connection.scalar(statement.limit(1)) is not None
