"""Deeds on their way to the audit: written with what was done, deleted once they have arrived."""

from collections.abc import Sequence
from datetime import datetime
from uuid import uuid4

import sqlalchemy as sa

from services.chassis.identity import Identity
from services.registry.store.identity_map import Reader
from services.registry.store.tables.audit_outbox import deeds as table
from services.registry.workspace import audit
from services.registry.workspace.audit import Action, Deed
from services.registry.workspace.model import Workspace


class Deeds:
    """The outbox, within a transaction."""

    def __init__(self, reader: Reader, now: datetime) -> None:
        self._reader = reader
        self._now = now

    async def add(self, caller: Identity, action: Action, *done_to: Workspace, **details: object) -> None:
        """The caller did this to each of the workspaces."""
        done = [audit.of(caller.actor, action, one, deed_id=str(uuid4()), at=self._now, **details) for one in done_to]
        if done:
            await self._reader.connection.execute(sa.insert(table), [_row_of(deed) for deed in done])

    async def oldest(self, limit: int) -> Sequence[Deed]:
        """What the audit is to be told of next."""
        found = await self._reader.connection.execute(sa.select(table).order_by(table.c.place).limit(limit))
        return [
            Deed(
                id=row.id,
                at=row.at,
                actor=row.actor,
                action=row.action,
                workspace_id=row.workspace_id,
                org_id=row.org_id,
                details=row.details,
            )
            for row in found
        ]

    async def arrived(self, told: Sequence[Deed]) -> None:
        """The audit knows these."""
        await self._reader.connection.execute(sa.delete(table).where(table.c.id.in_([deed.id for deed in told])))


def _row_of(deed: Deed) -> dict[str, object]:
    return {
        "id": deed.id,
        "at": deed.at,
        "actor": deed.actor,
        "action": deed.action,
        "workspace_id": deed.workspace_id,
        "org_id": deed.org_id,
        "details": deed.details,
    }
