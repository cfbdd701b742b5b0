"""Deeds on their way to the audit: written with what was done, deleted once they have arrived."""

from collections.abc import Sequence
from datetime import datetime
from uuid import uuid4

import sqlalchemy as sa

from services.chassis.identity import Identity
from services.registry.store.identity_map import IdentityMap
from services.registry.store.tables.audit_outbox import audit_outbox as table
from services.registry.workspace import audit
from services.registry.workspace.audit import AuditAction, AuditRecord
from services.registry.workspace.model import Workspace


class AuditOutbox:
    """The outbox, within a transaction."""

    def __init__(self, reader: IdentityMap, now: datetime) -> None:
        self._identity_map = reader
        self._now = now

    async def add(self, caller: Identity, action: AuditAction, *done_to: Workspace, **details: object) -> None:
        """The caller did this to each of the workspaces."""
        done = [
            audit.build_record(caller.actor, action, one, record_id=str(uuid4()), at=self._now, **details)
            for one in done_to
        ]
        if done:
            await self._identity_map.connection.execute(sa.insert(table), [_build_row(deed) for deed in done])

    async def list_oldest(self, limit: int) -> Sequence[AuditRecord]:
        """What the audit is to be told of next."""
        found = await self._identity_map.connection.execute(sa.select(table).order_by(table.c.place).limit(limit))
        return [
            AuditRecord(
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

    async def delete(self, told: Sequence[AuditRecord]) -> None:
        """The audit knows these."""
        await self._identity_map.connection.execute(sa.delete(table).where(table.c.id.in_([deed.id for deed in told])))


def _build_row(deed: AuditRecord) -> dict[str, object]:
    return {
        "id": deed.id,
        "at": deed.at,
        "actor": deed.actor,
        "action": deed.action,
        "workspace_id": deed.workspace_id,
        "org_id": deed.org_id,
        "details": deed.details,
    }
