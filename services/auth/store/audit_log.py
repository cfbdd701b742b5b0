"""Stores the hash chain of audit records."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.model.audit_log import AuditRecord, ChainedRecord, ChainExtent, Checkpoint, KeyStart
from services.auth.store.tables.audit_log import AUDIT_CHECKPOINTS, AUDIT_KEYS, AUDIT_RECORDS

_LOCK = sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended("auth.deeds", 0)))
"""Until the commit one transaction at a time appends, because it must know the record before its own."""

_LAST = sa.select(AUDIT_RECORDS).order_by(AUDIT_RECORDS.c.place.desc()).limit(1)


class AuditLogStore:
    """The statements about the chain, within a transaction.

    Records are appended before a revocation or a change of secrets is published, in every transaction: each takes an
    advisory lock, and one order of the locks prevents deadlocks.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def lock_last(self) -> ChainedRecord | None:
        """Return the last record, and prevent other transactions from appending until this one ends."""
        await self._connection.execute(_LOCK)
        return _record_from_row((await self._connection.execute(_LAST)).first())

    async def get_last_position(self) -> int:
        """Return the position of the last record; 0 for none."""
        return await self._connection.scalar(sa.select(sa.func.max(AUDIT_RECORDS.c.place))) or 0

    async def find_known_ids(self, ids: Collection[str]) -> set[str]:
        """Return those of the ids that are in the chain."""
        query = sa.select(AUDIT_RECORDS.c.id).where(AUDIT_RECORDS.c.id.in_(ids))
        return set((await self._connection.execute(query)).scalars())

    async def append(self, records: Sequence[ChainedRecord]) -> None:
        """Insert records that follow the last one."""
        if records:
            await self._connection.execute(sa.insert(AUDIT_RECORDS), [_row_from_record(record) for record in records])

    async def find(self, position: int) -> ChainedRecord | None:
        """Return the record at this position."""
        query = sa.select(AUDIT_RECORDS).where(AUDIT_RECORDS.c.place == position)
        return _record_from_row((await self._connection.execute(query)).first())

    async def list_after(
        self, position: int, *, limit: int, workspace_id: str = "", org_id: str = ""
    ) -> Sequence[ChainedRecord]:
        """Return the records after a position, the oldest first."""
        query = _select_records(workspace_id, org_id)
        query = query.where(AUDIT_RECORDS.c.place > position).order_by(AUDIT_RECORDS.c.place)
        return await self._fetch(query.limit(limit))

    async def list_newest(self, *, limit: int, workspace_id: str = "", org_id: str = "") -> Sequence[ChainedRecord]:
        """Return the newest records, the newest first."""
        query = _select_records(workspace_id, org_id).order_by(AUDIT_RECORDS.c.place.desc())
        return await self._fetch(query.limit(limit))

    # Statements about the chain ───────────────────────────────────────────────

    async def list_key_starts(self) -> Sequence[KeyStart]:
        """Return from which positions on which keys are in force, in the order of positions."""
        rows = await self._connection.execute(sa.select(AUDIT_KEYS).order_by(AUDIT_KEYS.c.place))
        return [KeyStart(position=row.place, key_id=row.key_id, mac=row.mac) for row in rows]

    async def find_first_position(self, key_id: str) -> int | None:
        """Return the position of the first record that is linked with this key. It reads the whole chain."""
        first = sa.select(sa.func.min(AUDIT_RECORDS.c.place)).where(AUDIT_RECORDS.c.key_id == key_id)
        position: int | None = await self._connection.scalar(first)
        return position

    async def add_key_start(self, start: KeyStart, *, now: datetime) -> None:
        """Record from which position on a key is in force. It cannot be changed later."""
        await self._connection.execute(
            sa.insert(AUDIT_KEYS).values(place=start.position, key_id=start.key_id, mac=start.mac, at=now)
        )

    async def find_checkpoint(self) -> Checkpoint | None:
        """Return the last checkpoint; `None` if no record was removed."""
        query = sa.select(AUDIT_CHECKPOINTS).order_by(AUDIT_CHECKPOINTS.c.place.desc()).limit(1)
        row = (await self._connection.execute(query)).first()
        if row is None:
            return None
        return Checkpoint(position=row.place, digest=row.digest, key_id=row.key_id, mac=row.mac)

    async def get_extent(self, *, before: datetime | None, limit: int) -> ChainExtent | None:
        """Return which records are stored, of which those before a time are old; `None` for an empty chain.

        It looks at the times of the `limit` oldest records only. Without a time no record is old.
        """
        oldest = sa.select(AUDIT_RECORDS.c.place, AUDIT_RECORDS.c.at).order_by(AUDIT_RECORDS.c.place).limit(limit)
        seen = oldest.subquery()
        is_young = seen.c.at >= before if before else sa.true()
        row = (
            await self._connection.execute(
                sa.select(
                    sa.func.min(seen.c.place).label("first"),
                    sa.select(sa.func.max(AUDIT_RECORDS.c.place)).scalar_subquery().label("last"),
                    sa.func.min(seen.c.place).filter(is_young).label("first_young"),
                    sa.func.max(seen.c.place).label("last_seen"),
                )
            )
        ).one()
        if row.first is None:
            return None
        return ChainExtent(first=row.first, last=row.last, first_young=row.first_young or row.last_seen + 1)

    async def remove_oldest(self, checkpoint: Checkpoint) -> int:
        """Remove the records up to a checkpoint and store it; return how many were removed.

        A function of the owner does it: auth may not delete records itself.
        """
        removed: int = (
            await self._connection.execute(
                sa.select(
                    sa.func.auth.remove_oldest_deeds(
                        sa.cast(checkpoint.position, sa.BigInteger),
                        sa.cast(checkpoint.digest, sa.LargeBinary),
                        sa.cast(checkpoint.key_id, sa.Text),
                        sa.cast(checkpoint.mac, sa.LargeBinary),
                    )
                )
            )
        ).scalar_one()
        return removed

    async def _fetch(self, query: sa.Select[Any]) -> Sequence[ChainedRecord]:
        rows = await self._connection.execute(query)
        return [record for row in rows if (record := _record_from_row(row))]


def _select_records(workspace_id: str, org_id: str) -> sa.Select[Any]:
    """Select the records of a workspace and of an organisation; an empty id selects all."""
    query = sa.select(AUDIT_RECORDS)
    if workspace_id:
        query = query.where(AUDIT_RECORDS.c.workspace_id == workspace_id)
    if org_id:
        query = query.where(AUDIT_RECORDS.c.org_id == org_id)
    return query


def _record_from_row(row: Any) -> ChainedRecord | None:  # noqa: ANN401 - rows are untyped
    return row and ChainedRecord(
        position=row.place,
        record=AuditRecord(
            id=row.id,
            at=row.at,
            actor=row.actor,
            action=row.action,
            workspace_id=row.workspace_id,
            org_id=row.org_id,
            subject=row.subject,
            details=row.details,
        ),
        digest=row.digest,
        key_id=row.key_id,
    )


def _row_from_record(chained: ChainedRecord) -> dict[str, object]:
    record = chained.record
    return {
        "place": chained.position,
        "id": record.id,
        "at": record.at,
        "actor": record.actor,
        "action": record.action,
        "workspace_id": record.workspace_id,
        "org_id": record.org_id,
        "subject": record.subject,
        "details": record.details,
        "digest": chained.digest,
        "key_id": chained.key_id,
    }
