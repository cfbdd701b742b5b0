"""Browser sessions in the database."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.model import Digest, OrgBearer, TokenId
from services.auth.records import AdminSession
from services.auth.store.orgs import holder_of
from services.auth.tables.keys import PLACEMENTS
from services.auth.tables.tokens import LIVE_ORG_TOKEN, LIVE_SESSION, ORG_TOKENS, SESSIONS

_SEATED = (
    sa.select(
        SESSIONS.c.operator_mark,
        sa.func.least(SESSIONS.c.expires_at, ORG_TOKENS.c.expires_at).label("ends_at"),
        ORG_TOKENS.c.id,
        ORG_TOKENS.c.org_id,
        ORG_TOKENS.c.scopes,
    )
    .select_from(SESSIONS.outerjoin(ORG_TOKENS).outerjoin(PLACEMENTS))
    .where(
        SESSIONS.c.digest == sa.bindparam("digest"),
        LIVE_SESSION,
        sa.or_(SESSIONS.c.operator_mark.is_not(None), LIVE_ORG_TOKEN),
    )
)


class Sessions:
    """Who is signed in, within a transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find(self, digest: Digest, *, now: datetime) -> AdminSession | OrgBearer | None:
        """Whose session it is, if it and the organisation token that opened it are live."""
        row = (await self._connection.execute(_SEATED, {"digest": digest, "now": now})).first()
        if row is None:
            return None
        if row.operator_mark is not None:
            return AdminSession(row.operator_mark, row.ends_at)
        return holder_of(row, expires_at=row.ends_at)

    async def add(
        self,
        digest: Digest,
        *,
        now: datetime,
        expires_at: datetime,
        org_token_id: TokenId | None = None,
        operator_mark: bytes | None = None,
    ) -> None:
        """Open one, for one or the other."""
        await self._connection.execute(
            sa.insert(SESSIONS).values(
                digest=digest,
                org_token_id=org_token_id,
                operator_mark=operator_mark,
                created_at=now,
                expires_at=expires_at,
            )
        )

    async def end(self, digest: Digest) -> bool:
        """End one; whether there was one."""
        result = await self._connection.execute(sa.delete(SESSIONS).where(SESSIONS.c.digest == digest))
        return result.rowcount > 0

    async def end_all_of(self, org_token_id: TokenId) -> Sequence[Digest]:
        """End those that the token opened; which they were."""
        ended = sa.delete(SESSIONS).where(SESSIONS.c.org_token_id == org_token_id).returning(SESSIONS.c.digest)
        return [Digest(row.digest) for row in await self._connection.execute(ended)]

    async def of(self, org_token_id: TokenId) -> Sequence[Digest]:
        """Those that the token opened."""
        found = sa.select(SESSIONS.c.digest).where(SESSIONS.c.org_token_id == org_token_id)
        return [Digest(row.digest) for row in await self._connection.execute(found)]

    async def erase_expired(self, *, now: datetime) -> int:
        """Erase what is over; how many."""
        return (await self._connection.execute(sa.delete(SESSIONS).where(SESSIONS.c.expires_at <= now))).rowcount
