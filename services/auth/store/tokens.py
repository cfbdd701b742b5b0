"""Workspace tokens as people look after them. Whoever writes holds the lock of the placement."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.model import Digest, TokenId, WorkspaceId
from services.auth.records import WorkspaceTokenRecord
from services.auth.tables.keys import IN_FORCE, LIVE, PLACEMENTS, TOKENS

_LIVE = sa.select(TOKENS).join(PLACEMENTS).where(LIVE)


class WorkspaceTokens:
    """The tokens of workspaces, within a transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def count(self, workspace_id: WorkspaceId, *, now: datetime) -> int:
        """How many are live."""
        live = _LIVE.where(TOKENS.c.workspace_id == workspace_id).subquery()
        counted: int = (
            await self._connection.execute(sa.select(sa.func.count()).select_from(live), {"now": now})
        ).scalar_one()
        return counted

    async def page(
        self, workspace_id: WorkspaceId, *, now: datetime, limit: int, offset: int
    ) -> Sequence[WorkspaceTokenRecord]:
        """The live ones, the newest first."""
        query = (
            _LIVE.where(TOKENS.c.workspace_id == workspace_id)
            .order_by(TOKENS.c.created_at.desc(), TOKENS.c.id)
            .limit(limit)
            .offset(offset)
        )
        return [_record_of(row) for row in await self._connection.execute(query, {"now": now})]

    async def find(self, workspace_id: WorkspaceId, token_id: TokenId, *, now: datetime) -> WorkspaceTokenRecord | None:
        """One of them, if it is live."""
        query = _LIVE.where(TOKENS.c.workspace_id == workspace_id, TOKENS.c.id == token_id)
        row = (await self._connection.execute(query, {"now": now})).first()
        return _record_of(row) if row else None

    async def revoke_stale(
        self, workspace_ids: Collection[WorkspaceId], *, now: datetime, unused_since: datetime
    ) -> Sequence[tuple[WorkspaceId, Digest]]:
        """Revoke those of instances that were not used since; one statement, so that nothing fresh slips into it."""
        last_use = sa.func.coalesce(TOKENS.c.last_used_at, TOKENS.c.created_at)
        of_instances = sa.and_(TOKENS.c.workspace_id.in_(workspace_ids), TOKENS.c.generation.is_not(None))
        rows = await self._connection.execute(
            sa.update(TOKENS)
            .where(of_instances, IN_FORCE, last_use < unused_since)
            .values(revoked_at=now)
            .returning(TOKENS.c.workspace_id, TOKENS.c.digest),
            {"now": now},
        )
        return [(WorkspaceId(row.workspace_id), Digest(row.digest)) for row in rows]

    async def retire(self, token_id: TokenId, *, now: datetime, expires_at: datetime) -> None:
        """Another has taken its place; it may be used until then."""
        await self._connection.execute(
            sa.update(TOKENS).where(TOKENS.c.id == token_id).values(rotated_at=now, expires_at=expires_at)
        )


def _record_of(row: Any) -> WorkspaceTokenRecord:  # noqa: ANN401 - rows are untyped
    return WorkspaceTokenRecord(
        token_id=TokenId(row.id),
        digest=Digest(row.digest),
        prefix=row.prefix,
        generation=row.generation,
        note=row.note or "",
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        expires_at=row.expires_at,
        rotated_at=row.rotated_at,
    )
