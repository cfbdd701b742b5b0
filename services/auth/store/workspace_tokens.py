"""Stores workspace tokens. A caller that writes holds the lock of the placement."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.model.authorization import WorkspaceBearer
from services.auth.model.placements import WorkspaceId
from services.auth.model.tokens import Digest, NewToken, TokenId, WorkspaceTokenRecord
from services.auth.store.tables.placements import PLACEMENTS
from services.auth.store.tables.schema import DIGESTS
from services.auth.store.tables.workspace_tokens import LIVE_TOKEN, UNREVOKED_AND_UNEXPIRED, WORKSPACE_TOKENS

_BEARERS = (
    sa.select(
        WORKSPACE_TOKENS.c.digest,
        WORKSPACE_TOKENS.c.id,
        WORKSPACE_TOKENS.c.workspace_id,
        WORKSPACE_TOKENS.c.generation,
        WORKSPACE_TOKENS.c.expires_at,
    )
    .join(PLACEMENTS)
    .where(WORKSPACE_TOKENS.c.digest == sa.any_(DIGESTS), LIVE_TOKEN)
)
"""Built once, because nearly every call of the plane runs it."""

_LIVE = sa.select(WORKSPACE_TOKENS).join(PLACEMENTS).where(LIVE_TOKEN)


class WorkspaceTokenStore:
    """The statements about workspace tokens, within a transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find_bearers(self, digests: Collection[Digest], *, now: datetime) -> Mapping[Digest, WorkspaceBearer]:
        """Return the live tokens among these, by digest."""
        rows = await self._connection.execute(_BEARERS, {"digests": list(digests), "now": now})
        return {
            Digest(row.digest): WorkspaceBearer(
                token_id=TokenId(row.id),
                workspace_id=WorkspaceId(row.workspace_id),
                generation=row.generation,
                expires_at=row.expires_at,
            )
            for row in rows
        }

    async def add(
        self,
        token_id: TokenId,
        workspace_id: WorkspaceId,
        token: NewToken,
        *,
        generation: int | None,
        now: datetime,
        note: str = "",
        expires_at: datetime | None = None,
        parent_token_id: TokenId | None = None,
    ) -> None:
        """Insert a token; it is live once the transaction commits."""
        await self._connection.execute(
            sa.insert(WORKSPACE_TOKENS).values(
                id=token_id,
                workspace_id=workspace_id,
                digest=token.digest,
                prefix=token.prefix,
                generation=generation,
                created_at=now,
                note=note or None,
                expires_at=expires_at,
                parent_token_id=parent_token_id,
            )
        )

    async def find_live(self, token_id: TokenId, *, now: datetime) -> WorkspaceTokenRecord | None:
        """Return the token of any workspace if it is live."""
        row = (await self._connection.execute(_LIVE.where(WORKSPACE_TOKENS.c.id == token_id), {"now": now})).first()
        return _record_from_row(row) if row else None

    async def count(self, workspace_id: WorkspaceId, *, now: datetime) -> int:
        """Return how many tokens of the workspace are live."""
        live = _LIVE.where(WORKSPACE_TOKENS.c.workspace_id == workspace_id).subquery()
        count: int = (
            await self._connection.execute(sa.select(sa.func.count()).select_from(live), {"now": now})
        ).scalar_one()
        return count

    async def list_page(
        self, workspace_id: WorkspaceId, *, now: datetime, limit: int, offset: int
    ) -> Sequence[WorkspaceTokenRecord]:
        """Return live tokens of the workspace, the newest first."""
        query = (
            _LIVE.where(WORKSPACE_TOKENS.c.workspace_id == workspace_id)
            .order_by(WORKSPACE_TOKENS.c.created_at.desc(), WORKSPACE_TOKENS.c.id)
            .limit(limit)
            .offset(offset)
        )
        return [_record_from_row(row) for row in await self._connection.execute(query, {"now": now})]

    async def find(self, workspace_id: WorkspaceId, token_id: TokenId, *, now: datetime) -> WorkspaceTokenRecord | None:
        """Return one token of the workspace if it is live."""
        query = _LIVE.where(WORKSPACE_TOKENS.c.workspace_id == workspace_id, WORKSPACE_TOKENS.c.id == token_id)
        row = (await self._connection.execute(query, {"now": now})).first()
        return _record_from_row(row) if row else None

    async def revoke(self, workspace_id: WorkspaceId, *, now: datetime) -> Sequence[Digest]:
        """Revoke the tokens of a workspace; return the digests of those that were live.

        Tokens of a workspace mint tokens of the same workspace only, so nothing below them is left.
        """
        rows = await self._connection.execute(
            sa.update(WORKSPACE_TOKENS)
            .where(WORKSPACE_TOKENS.c.workspace_id == workspace_id, UNREVOKED_AND_UNEXPIRED)
            .values(revoked_at=now)
            .returning(WORKSPACE_TOKENS.c.digest),
            {"now": now},
        )
        return [Digest(row.digest) for row in rows]

    async def revoke_stale(
        self, workspace_ids: Collection[WorkspaceId], *, now: datetime, unused_since: datetime
    ) -> Sequence[tuple[WorkspaceId, TokenId, Digest]]:
        """Revoke the tokens of instances that were not used since that time, and not those that other tokens minted.

        It is a single statement, so it cannot revoke a token that was issued or used in the meantime.
        """
        last_use = sa.func.coalesce(WORKSPACE_TOKENS.c.last_used_at, WORKSPACE_TOKENS.c.created_at)
        of_instances = sa.and_(
            WORKSPACE_TOKENS.c.workspace_id.in_(workspace_ids),
            WORKSPACE_TOKENS.c.generation.is_not(None),
            WORKSPACE_TOKENS.c.parent_token_id.is_(None),
        )
        rows = await self._connection.execute(
            sa.update(WORKSPACE_TOKENS)
            .where(of_instances, UNREVOKED_AND_UNEXPIRED, last_use < unused_since)
            .values(revoked_at=now)
            .returning(WORKSPACE_TOKENS.c.workspace_id, WORKSPACE_TOKENS.c.id, WORKSPACE_TOKENS.c.digest),
            {"now": now},
        )
        return [(WorkspaceId(row.workspace_id), TokenId(row.id), Digest(row.digest)) for row in rows]

    async def mark_rotated(self, token_id: TokenId, *, now: datetime, expires_at: datetime) -> None:
        """Note that another token replaced this one, which expires at that time."""
        await self._connection.execute(
            sa.update(WORKSPACE_TOKENS)
            .where(WORKSPACE_TOKENS.c.id == token_id)
            .values(rotated_at=now, expires_at=expires_at)
        )


def _record_from_row(row: Any) -> WorkspaceTokenRecord:  # noqa: ANN401 - rows are untyped
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
        parent_token_id=row.parent_token_id,
    )
