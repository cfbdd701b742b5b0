"""Opens and closes browser sessions. A session never outlives the token that opened it."""

import secrets
from datetime import datetime, timedelta

import structlog

from services.auth.audit_log import AuditLog
from services.auth.errors import InvalidBearer
from services.auth.model.authorization import OrgBearer
from services.auth.model.revocations import RevokedToken
from services.auth.model.tokens import Digest, NewSession, OrgTokenRecord, TokenId
from services.auth.rules import token_text
from services.auth.store.transaction import Store, Transaction
from services.chassis.clock import Clock
from services.chassis.identity import Identity, Kind

log = structlog.get_logger()


class SessionService:
    """Browser sessions that were opened with ADMIN_TOKEN or an organisation token."""

    def __init__(
        self, store: Store, *, audit_log: AuditLog, clock: Clock, admin_digest: Digest | None, lifetime: timedelta
    ) -> None:
        """`admin_digest` is the digest of ADMIN_TOKEN; `None` if there is none."""
        self._store = store
        self._audit_log = audit_log
        self._clock = clock
        self._admin_digest = admin_digest
        self._lifetime = lifetime

    async def open(self, caller: Identity) -> NewSession:
        """Open a session that replaces the caller's bearer; raises `InvalidBearer` if that is no longer live."""
        now = self._clock.now()
        token = token_text.encode_token(secrets.token_bytes(token_text.TOKEN_BYTES))
        expires_at = now + self._lifetime
        async with self._store.begin() as tx:
            if caller.kind is Kind.ORG:
                opener = await _get_opener(tx, caller, now=now)
                expires_at = min(expires_at, opener.expires_at or expires_at)
                await tx.sessions.add(token.digest, now=now, expires_at=expires_at, org_token_id=opener.token_id)
            else:
                mac = self._compute_mac(token.text)
                await tx.sessions.add(token.digest, now=now, expires_at=expires_at, admin_mac=mac)
            await self._audit_log.append(tx, "session.opened", org_id=caller.org_id, subject=caller.name)
        log.info("session opened", kind=caller.kind.value, org=caller.org_id)
        return NewSession(token.text, expires_at)

    async def find_expiry(self, text: str) -> datetime | None:
        """Return when the session expires; `None` if it is not live."""
        async with self._store.reading() as tx:
            found = await tx.sessions.find(token_text.digest_token(text), now=self._clock.now())
        return found.expires_at if found else None

    async def close(self, text: str) -> None:
        """Close the session if it exists."""
        digest, now = token_text.digest_token(text), self._clock.now()
        async with self._store.begin() as tx:
            found = await tx.sessions.find(digest, now=now)
            if not await tx.sessions.delete(digest):
                return
            opener = found if isinstance(found, OrgBearer) else None
            await self._audit_log.append(
                tx,
                "session.closed",
                org_id=opener.org_id if opener else "",
                subject=opener.token_id if opener else "",
            )
            await tx.revocations.publish([RevokedToken(digest)], now=now)

    async def delete_expired(self) -> None:
        """Delete the expired sessions."""
        async with self._store.begin() as tx:
            await tx.sessions.delete_expired(now=self._clock.now())

    def _compute_mac(self, text: str) -> bytes:
        if self._admin_digest is None:
            raise InvalidBearer("invalid auth token")
        return token_text.compute_session_mac(text, self._admin_digest)


async def _get_opener(tx: Transaction, caller: Identity, *, now: datetime) -> OrgTokenRecord:
    opener = await tx.org_tokens.find(TokenId(caller.name), now=now)
    if opener is None:
        raise InvalidBearer("invalid auth token")
    return opener
