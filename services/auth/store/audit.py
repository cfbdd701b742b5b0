"""The chain of deeds in the database."""

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.chain import AuditRecord, ChainedRecord
from services.auth.tables.audit import AUDIT_RECORDS

_TURN = sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended("auth.deeds", 0)))
"""From here to the commit only one transaction adds deeds: each must know the link before its own."""

_LAST = sa.select(AUDIT_RECORDS).order_by(AUDIT_RECORDS.c.place.desc()).limit(1)


class Chain:
    """The chain, within a transaction.

    Deeds are added before anything is announced: two transactions that do both wait for each other in one order.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def last(self) -> ChainedRecord | None:
        """The newest link, to which nobody else can add until this transaction ends."""
        await self._connection.execute(_TURN)
        return _link_of((await self._connection.execute(_LAST)).first())

    async def known(self, ids: Collection[str]) -> set[str]:
        """Which of the ids are those of deeds already in the chain."""
        found = await self._connection.execute(sa.select(AUDIT_RECORDS.c.id).where(AUDIT_RECORDS.c.id.in_(ids)))
        return set(found.scalars())

    async def add(self, links: Sequence[ChainedRecord]) -> None:
        """Add to the end."""
        if links:
            await self._connection.execute(sa.insert(AUDIT_RECORDS), [_row_of(link) for link in links])

    async def find(self, place: int) -> ChainedRecord | None:
        """The link in this place."""
        return _link_of(
            (await self._connection.execute(sa.select(AUDIT_RECORDS).where(AUDIT_RECORDS.c.place == place))).first()
        )

    async def after(
        self, place: int, *, at_most: int, workspace_id: str = "", org_id: str = ""
    ) -> Sequence[ChainedRecord]:
        """The links that follow a place, the oldest first."""
        query = _about(workspace_id, org_id).where(AUDIT_RECORDS.c.place > place).order_by(AUDIT_RECORDS.c.place)
        return await self._links(query.limit(at_most))

    async def newest(self, *, at_most: int, workspace_id: str = "", org_id: str = "") -> Sequence[ChainedRecord]:
        """The newest links, the newest first."""
        query = _about(workspace_id, org_id).order_by(AUDIT_RECORDS.c.place.desc())
        return await self._links(query.limit(at_most))

    async def _links(self, query: sa.Select[Any]) -> Sequence[ChainedRecord]:
        found = await self._connection.execute(query)
        return [link for row in found if (link := _link_of(row))]


def _about(workspace_id: str, org_id: str) -> sa.Select[Any]:
    query = sa.select(AUDIT_RECORDS)
    if workspace_id:
        query = query.where(AUDIT_RECORDS.c.workspace_id == workspace_id)
    if org_id:
        query = query.where(AUDIT_RECORDS.c.org_id == org_id)
    return query


def _link_of(row: Any) -> ChainedRecord | None:  # noqa: ANN401 - rows are untyped
    return row and ChainedRecord(
        place=row.place,
        deed=AuditRecord(
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


def _row_of(link: ChainedRecord) -> dict[str, object]:
    deed = link.deed
    return {
        "place": link.place,
        "id": deed.id,
        "at": deed.at,
        "actor": deed.actor,
        "action": deed.action,
        "workspace_id": deed.workspace_id,
        "org_id": deed.org_id,
        "subject": deed.subject,
        "details": deed.details,
        "digest": link.digest,
        "key_id": link.key_id,
    }
