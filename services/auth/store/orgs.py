"""Organisation tokens in the database. Whoever writes holds the lock of the root's placement."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.model import Digest, OrgBearer, Scope, TokenId
from services.auth.records import OrgTokenRecord
from services.auth.tables.keys import DIGESTS, PLACEMENTS
from services.auth.tables.tokens import LIVE_ORG_TOKEN, ORG_TOKENS

_LIVE = sa.select(ORG_TOKENS).join(PLACEMENTS).where(LIVE_ORG_TOKEN)

_HOLDERS = _LIVE.where(ORG_TOKENS.c.digest == sa.any_(DIGESTS))


class OrgTokens:
    """The tokens of organisations, within a transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find_holders(self, digests: Collection[Digest], *, now: datetime) -> Mapping[Digest, OrgBearer]:
        """Who holds those of the tokens that are live."""
        rows = await self._connection.execute(_HOLDERS, {"digests": list(digests), "now": now})
        return {Digest(row.digest): holder_of(row, expires_at=row.expires_at) for row in rows}

    async def find(self, token_id: TokenId, *, now: datetime) -> OrgTokenRecord | None:
        """What is kept of the token, if it is live."""
        query = _LIVE.where(ORG_TOKENS.c.id == token_id)
        row = (await self._connection.execute(query, {"now": now})).first()
        return _record_of(row) if row else None

    async def page(self, org_id: str, *, now: datetime, limit: int, offset: int) -> Sequence[OrgTokenRecord]:
        """The live ones, the newest first; of one organisation, or of all where `org_id` is empty."""
        query = _LIVE.where(ORG_TOKENS.c.org_id == org_id) if org_id else _LIVE
        query = query.order_by(ORG_TOKENS.c.created_at.desc(), ORG_TOKENS.c.id).limit(limit).offset(offset)
        return [_record_of(row) for row in await self._connection.execute(query, {"now": now})]

    async def count(self, org_id: str, *, now: datetime) -> int:
        """How many of an organisation are live."""
        live = _LIVE.where(ORG_TOKENS.c.org_id == org_id).subquery()
        counted: int = (
            await self._connection.execute(sa.select(sa.func.count()).select_from(live), {"now": now})
        ).scalar_one()
        return counted

    async def add(self, record: OrgTokenRecord) -> None:
        """Put a token in force."""
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
            )
        )

    async def revoke(self, token_id: TokenId, *, now: datetime) -> None:
        """Put it out of force."""
        await self._connection.execute(sa.update(ORG_TOKENS).where(ORG_TOKENS.c.id == token_id).values(revoked_at=now))

    async def retire(self, token_id: TokenId, *, now: datetime, expires_at: datetime) -> None:
        """Another has taken its place; it may be used until then."""
        await self._connection.execute(
            sa.update(ORG_TOKENS).where(ORG_TOKENS.c.id == token_id).values(rotated_at=now, expires_at=expires_at)
        )


def holder_of(row: Any, *, expires_at: datetime | None) -> OrgBearer:  # noqa: ANN401 - rows are untyped
    """Whoever presents the token of the row."""
    return OrgBearer(
        token_id=TokenId(row.id),
        org_id=row.org_id,
        scopes=frozenset(Scope(scope) for scope in row.scopes),
        expires_at=expires_at,
    )


def _record_of(row: Any) -> OrgTokenRecord:  # noqa: ANN401 - rows are untyped
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
    )
