"""Stores organisation tokens. A caller that writes holds the lock of the placement of the root."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.model.authorization import OrgBearer
from services.auth.model.tokens import Digest, OrgTokenRecord, Scope, TokenId
from services.auth.store.tables.org_tokens import LIVE_ORG_TOKEN, ORG_TOKENS
from services.auth.store.tables.placements import PLACEMENTS
from services.auth.store.tables.schema import DIGESTS

_LIVE = sa.select(ORG_TOKENS).join(PLACEMENTS).where(LIVE_ORG_TOKEN)

_BEARERS = _LIVE.where(ORG_TOKENS.c.digest == sa.any_(DIGESTS))


class OrgTokenStore:
    """The statements about organisation tokens, within a transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find_bearers(self, digests: Collection[Digest], *, now: datetime) -> Mapping[Digest, OrgBearer]:
        """Return the live tokens among these, by digest."""
        rows = await self._connection.execute(_BEARERS, {"digests": list(digests), "now": now})
        return {Digest(row.digest): org_bearer_from_row(row, expires_at=row.expires_at) for row in rows}

    async def find(self, token_id: TokenId, *, now: datetime) -> OrgTokenRecord | None:
        """Return the token if it is live."""
        query = _LIVE.where(ORG_TOKENS.c.id == token_id)
        row = (await self._connection.execute(query, {"now": now})).first()
        return _record_from_row(row) if row else None

    async def list_page(self, org_id: str, *, now: datetime, limit: int, offset: int) -> Sequence[OrgTokenRecord]:
        """Return live tokens, the newest first: of one organisation, or of all if `org_id` is empty."""
        query = _LIVE.where(ORG_TOKENS.c.org_id == org_id) if org_id else _LIVE
        query = query.order_by(ORG_TOKENS.c.created_at.desc(), ORG_TOKENS.c.id).limit(limit).offset(offset)
        return [_record_from_row(row) for row in await self._connection.execute(query, {"now": now})]

    async def count(self, org_id: str, *, now: datetime) -> int:
        """Return how many tokens of the organisation are live."""
        live = _LIVE.where(ORG_TOKENS.c.org_id == org_id).subquery()
        count: int = (
            await self._connection.execute(sa.select(sa.func.count()).select_from(live), {"now": now})
        ).scalar_one()
        return count

    async def add(self, record: OrgTokenRecord) -> None:
        """Insert a token; it is live once the transaction commits."""
        await self._connection.execute(
            sa.insert(ORG_TOKENS).values(
                id=record.token_id,
                org_id=record.org_id,
                digest=record.digest,
                prefix=record.prefix,
                scopes=sorted(record.scopes),
                name=record.name,
                created_by=record.created_by,
                created_at=record.created_at,
                expires_at=record.expires_at,
                parent_token_id=record.parent_token_id,
            )
        )

    async def mark_rotated(self, token_id: TokenId, *, now: datetime, expires_at: datetime) -> None:
        """Note that another token replaced this one, which expires at that time."""
        await self._connection.execute(
            sa.update(ORG_TOKENS).where(ORG_TOKENS.c.id == token_id).values(rotated_at=now, expires_at=expires_at)
        )


def org_bearer_from_row(row: Any, *, expires_at: datetime | None) -> OrgBearer:  # noqa: ANN401 - rows are untyped
    """Return the organisation token in the row as a bearer."""
    return OrgBearer(
        token_id=TokenId(row.id),
        org_id=row.org_id,
        scopes=frozenset(Scope(scope) for scope in row.scopes),
        expires_at=expires_at,
    )


def _record_from_row(row: Any) -> OrgTokenRecord:  # noqa: ANN401 - rows are untyped
    return OrgTokenRecord(
        token_id=TokenId(row.id),
        org_id=row.org_id,
        digest=Digest(row.digest),
        prefix=row.prefix,
        scopes=frozenset(Scope(scope) for scope in row.scopes),
        name=row.name,
        created_by=row.created_by,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        expires_at=row.expires_at,
        rotated_at=row.rotated_at,
        parent_token_id=row.parent_token_id,
    )
