"""The files that instances start with. Kept and let go of under the lock of the tree, so that none is lost between."""

from collections.abc import Iterable, Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.registry.store.identity_map import IdentityMap
from services.registry.store.tables.starter_files import starter_files
from services.registry.store.tables.workspaces import workspaces
from services.registry.workspace.model import WorkspaceId
from services.registry.workspace.starter_files import Files, StarterFiles


class StarterFileStore:
    """The files, as one transaction sees them."""

    def __init__(self, reader: IdentityMap) -> None:
        self._identity_map = reader

    async def save(self, kits: Iterable[StarterFiles]) -> None:
        """Keep the files of the kits; those that are kept already cost a look."""
        fresh = {kit.digest: kit for kit in kits if kit.get}
        known = await self._identity_map.connection.execute(
            sa.select(starter_files.c.kit).where(starter_files.c.kit.in_(fresh)).distinct()
        )
        for digest in known.scalars():
            del fresh[digest]
        rows = [
            {"kit": digest, "path": path, "content": text}
            for digest, kit in fresh.items()
            for path, text in kit.get.items()
        ]
        if rows:
            await self._identity_map.connection.execute(insert(starter_files).on_conflict_do_nothing(), rows)

    async def get(self, digest: str) -> Files:
        """The files of a kit; none for the empty one."""
        if not digest:
            return {}
        found = await self._identity_map.connection.execute(
            sa.select(starter_files.c.path, starter_files.c.content).where(starter_files.c.kit == digest)
        )
        return {row.path: row.content for row in found}

    async def delete_unshared(self, ids: Sequence[WorkspaceId]) -> None:
        """Delete the files that none but these workspaces have. Before these are written without them."""
        theirs = sa.select(workspaces.c.kit).where(workspaces.c.id.in_(ids), workspaces.c.kit != "")
        others = sa.select(workspaces.c.id).where(workspaces.c.kit == starter_files.c.kit, workspaces.c.id.not_in(ids))
        await self._identity_map.connection.execute(
            sa.delete(starter_files).where(starter_files.c.kit.in_(theirs), ~sa.exists(others))
        )
