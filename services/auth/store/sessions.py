"""Stores browser sessions."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.model.authorization import OrgBearer
from services.auth.model.tokens import AdminSession, Digest, TokenId
from services.auth.store.org_tokens import org_bearer_from_row
from services.auth.store.tables.org_tokens import LIVE_ORG_TOKEN, ORG_TOKENS
from services.auth.store.tables.placements import PLACEMENTS
from services.auth.store.tables.sessions import SESSIONS, UNEXPIRED_SESSION

_LIVE_SESSION = (
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
        UNEXPIRED_SESSION,
        sa.or_(SESSIONS.c.operator_mark.is_not(None), LIVE_ORG_TOKEN),
    )
)


class SessionStore:
    """The statements about browser sessions, within a transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find(self, digest: Digest, *, now: datetime) -> AdminSession | OrgBearer | None:
        """Return the bearer that opened the session; `None` if the session or this bearer is not live."""
        row = (await self._connection.execute(_LIVE_SESSION, {"digest": digest, "now": now})).first()
        if row is None:
            return None
        if row.operator_mark is not None:
            return AdminSession(row.operator_mark, row.ends_at)
        return org_bearer_from_row(row, expires_at=row.ends_at)

    async def add(
        self,
        digest: Digest,
        *,
        now: datetime,
        expires_at: datetime,
        org_token_id: TokenId | None = None,
        admin_mac: bytes | None = None,
    ) -> None:
        """Insert a session that was opened with an organisation token or with ADMIN_TOKEN: one of the two is given."""
        await self._connection.execute(
            sa.insert(SESSIONS).values(
                digest=digest,
                org_token_id=org_token_id,
                operator_mark=admin_mac,
                created_at=now,
                expires_at=expires_at,
            )
        )

    async def delete(self, digest: Digest) -> bool:
        """Delete a session; return whether it existed."""
        result = await self._connection.execute(sa.delete(SESSIONS).where(SESSIONS.c.digest == digest))
        return result.rowcount > 0

    async def list_opened_by(self, org_token_id: TokenId) -> Sequence[Digest]:
        """Return the digests of the sessions that the token opened."""
        query = sa.select(SESSIONS.c.digest).where(SESSIONS.c.org_token_id == org_token_id)
        return [Digest(row.digest) for row in await self._connection.execute(query)]

    async def delete_expired(self, *, now: datetime) -> int:
        """Delete the expired sessions; return how many."""
        return (await self._connection.execute(sa.delete(SESSIONS).where(SESSIONS.c.expires_at <= now))).rowcount
