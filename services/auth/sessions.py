"""Browser sessions ♥: opened with the admin token or an organisation token, and never longer than it."""

import secrets
from datetime import datetime, timedelta

import structlog

from services.auth import tokens
from services.auth.audit import AuditLog
from services.auth.errors import InvalidBearer
from services.auth.model import Digest, OrgBearer, RevokedToken, TokenId
from services.auth.records import NewSession, OrgTokenRecord
from services.auth.store.keys import Store, Transaction
from services.chassis.clock import Clock
from services.chassis.identity import Identity, Kind

log = structlog.get_logger()


class SessionService:
    """Signs people in and out."""

    def __init__(
        self, store: Store, *, audit: AuditLog, clock: Clock, operator: Digest | None, lasts: timedelta
    ) -> None:
        """`operator` is the digest of ADMIN_TOKEN, where there is one."""
        self._store = store
        self._audit = audit
        self._clock = clock
        self._operator = operator
        self._lasts = lasts

    async def open(self, caller: Identity) -> NewSession:
        """A session in the place of the caller's bearer; raises `InvalidBearer` if that is live no more."""
        now = self._clock.now()
        fresh = tokens.encode_token(secrets.token_bytes(tokens.TOKEN_BYTES))
        end = now + self._lasts
        async with self._store.begin() as tx:
            if caller.kind is Kind.ORG:
                opener = await _opener(tx, caller, now=now)
                end = min(end, opener.expires_at or end)
                await tx.sessions.add(fresh.digest, now=now, expires_at=end, org_token_id=opener.token_id)
            else:
                await tx.sessions.add(fresh.digest, now=now, expires_at=end, operator_mark=self._mark(fresh.text))
            await self._audit.note(tx, "session.opened", org_id=caller.org_id, subject=caller.name)
        log.info("session opened", kind=caller.kind.value, org=caller.org_id)
        return NewSession(fresh.text, end)

    async def find(self, text: str) -> datetime | None:
        """When the session ends, if it is live."""
        async with self._store.reading() as tx:
            found = await tx.sessions.find(tokens.digest_token(text), now=self._clock.now())
        return found.expires_at if found else None

    async def close(self, text: str) -> None:
        """End the session, if there is one."""
        digest, now = tokens.digest_token(text), self._clock.now()
        async with self._store.begin() as tx:
            found = await tx.sessions.find(digest, now=now)
            if not await tx.sessions.end(digest):
                return
            opener = found if isinstance(found, OrgBearer) else None
            await self._audit.note(
                tx,
                "session.closed",
                org_id=opener.org_id if opener else "",
                subject=opener.token_id if opener else "",
            )
            await tx.announce([RevokedToken(digest)], now=now)

    async def erase_expired(self) -> None:
        """Erase what is over."""
        async with self._store.begin() as tx:
            await tx.sessions.erase_expired(now=self._clock.now())

    def _mark(self, text: str) -> bytes:
        if self._operator is None:
            raise InvalidBearer("invalid auth token")
        return tokens.compute_session_mac(text, self._operator)


async def _opener(tx: Transaction, caller: Identity, *, now: datetime) -> OrgTokenRecord:
    found = await tx.orgs.find(TokenId(caller.name), now=now)
    if found is None:
        raise InvalidBearer("invalid auth token")
    return found
