"""The outbox of audit records: written in the transaction of the action, deleted once auth has stored them."""

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
    """The outbox, within one transaction."""

    def __init__(self, identity_map: IdentityMap, now: datetime) -> None:
        self._identity_map = identity_map
        self._now = now

    async def add(self, caller: Identity, action: AuditAction, *workspaces: Workspace, **details: object) -> None:
        """Add a record of the caller's action for each of the workspaces."""
        await self.add_for(caller.actor, action, *workspaces, **details)

    async def add_for(self, actor: str, action: AuditAction, *workspaces: Workspace, **details: object) -> None:
        """Add a record of an action of which another service tells who did it."""
        records = [
            audit.build_record(actor, action, workspace, record_id=str(uuid4()), at=self._now, **details)
            for workspace in workspaces
        ]
        if records:
            await self._identity_map.connection.execute(sa.insert(table), [_build_row(record) for record in records])

    async def list_oldest(self, limit: int) -> Sequence[AuditRecord]:
        """Return the oldest records, oldest first."""
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

    async def delete(self, records: Sequence[AuditRecord]) -> None:
        """Delete records that auth has stored."""
        await self._identity_map.connection.execute(
            sa.delete(table).where(table.c.id.in_([record.id for record in records]))
        )


def _build_row(record: AuditRecord) -> dict[str, object]:
    return {
        "id": record.id,
        "at": record.at,
        "actor": record.actor,
        "action": record.action,
        "workspace_id": record.workspace_id,
        "org_id": record.org_id,
        "details": record.details,
    }
