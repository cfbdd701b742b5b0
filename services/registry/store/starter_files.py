"""Stores the files that instances start with.

Files are saved and deleted under the lock of the tree, so that no workspace loses files that it still names.
"""

from collections.abc import Iterable, Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.registry.store.identity_map import IdentityMap
from services.registry.store.tables.starter_files import starter_files as table
from services.registry.store.tables.workspaces import workspaces
from services.registry.workspace.model import WorkspaceId
from services.registry.workspace.starter_files import Files, StarterFiles


class StarterFileStore:
    """Starter files, within one transaction."""

    def __init__(self, identity_map: IdentityMap) -> None:
        self._identity_map = identity_map

    async def save(self, starter_files: Iterable[StarterFiles]) -> None:
        """Store each set of files whose digest is not stored yet."""
        unsaved = {one.digest: one for one in starter_files if one.files}
        stored = await self._identity_map.connection.execute(
            sa.select(table.c.digest).where(table.c.digest.in_(unsaved)).distinct()
        )
        for digest in stored.scalars():
            del unsaved[digest]
        rows = [
            {"digest": digest, "path": path, "content": text}
            for digest, one in unsaved.items()
            for path, text in one.files.items()
        ]
        if rows:
            await self._identity_map.connection.execute(insert(table).on_conflict_do_nothing(), rows)

    async def get(self, digest: str) -> Files:
        """Return the files of a digest; no files for the empty one."""
        if not digest:
            return {}
        found = await self._identity_map.connection.execute(
            sa.select(table.c.path, table.c.content).where(table.c.digest == digest)
        )
        return {row.path: row.content for row in found}

    async def delete_unshared(self, ids: Sequence[WorkspaceId]) -> None:
        """Delete the files that only these workspaces use; called before the workspaces are saved without them."""
        column = workspaces.c.starter_files_digest
        digests = sa.select(column).where(workspaces.c.id.in_(ids), column != "")
        others = sa.select(workspaces.c.id).where(column == table.c.digest, workspaces.c.id.not_in(ids))
        await self._identity_map.connection.execute(
            sa.delete(table).where(table.c.digest.in_(digests), ~sa.exists(others))
        )
