"""The tokens of organisations ♥: bound to a root and to scopes, never worth more than who made them."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import uuid4

import structlog

from services.auth import lifetimes, scopes, tokens
from services.auth.audit import AuditLog
from services.auth.errors import (
    InvalidBearer,
    InvalidToken,
    OrgAccessDenied,
    OrgNotFound,
    ScopeMissing,
    TokenLimit,
    TokenNotFound,
    TokenRotated,
)
from services.auth.model import RevokedToken, Scope, TokenId, WorkspaceId
from services.auth.placements import is_live_root
from services.auth.records import MintedOrgToken, OrgTokenRecord, OrgTokenRequest
from services.auth.store.keys import Store, Transaction
from services.chassis.clock import Clock
from services.chassis.identity import Identity, Kind

log = structlog.get_logger()

MAX_TOKENS_PER_ORG = 500
"""Live tokens of one organisation: as many as one list shows."""

ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Maker:
    """Who makes a token, and what no token of theirs goes beyond."""

    name: str
    scopes: frozenset[Scope] = ALL_SCOPES
    expires_at: datetime | None = None


class OrgTokenService:
    """What people do to the tokens of organisations."""

    def __init__(self, store: Store, *, audit: AuditLog, clock: Clock) -> None:
        self._store = store
        self._audit = audit
        self._clock = clock

    async def list(self, caller: Identity, *, org_id: str, size: int, offset: int) -> Sequence[OrgTokenRecord]:
        """The live ones that the caller may see, the newest first."""
        org_id = _org_for(caller, org_id)
        async with self._store.reading() as tx:
            return await tx.orgs.page(org_id, now=self._clock.now(), limit=size, offset=offset)

    async def mint(self, caller: Identity, wanted: OrgTokenRequest) -> MintedOrgToken:
        """A token for an organisation.

        Raises `OrgNotFound`, `OrgAccessDenied`, `ScopeMissing`, `TokenLimit` or `InvalidToken`.
        """
        now = self._clock.now()
        lifetimes.require_future(wanted.expires_at, now=now)
        org_id = _org_for(caller, wanted.org_id)
        if not org_id:
            raise InvalidToken("org_id is required")
        async with self._store.begin() as tx:
            await _lock_root(tx, org_id)
            maker = await _maker(tx, caller, now=now)
            if await tx.orgs.count(org_id, now=now) >= MAX_TOKENS_PER_ORG:
                raise TokenLimit("maximum 500 active tokens per organisation")
            handed = await _hand(tx, replace(wanted, org_id=org_id), maker, now=now)
            await self._note(tx, "org-token.minted", handed.record, scopes=sorted(handed.record.scopes))
        log.info("org token minted", org=org_id, token=handed.record.token_id)
        return handed

    async def revoke(self, caller: Identity, token_id: TokenId) -> None:
        """End a token and the sessions that were opened with it; raises `TokenNotFound`."""
        now = self._clock.now()
        async with self._store.begin() as tx:
            record = await _locked(tx, caller, token_id, now=now)
            await tx.orgs.revoke(token_id, now=now)
            ended = await tx.sessions.end_all_of(token_id)
            await self._note(tx, "org-token.revoked", record)
            await tx.announce([RevokedToken(digest) for digest in (record.digest, *ended)], now=now)
        log.info("org token revoked", org=record.org_id, token=token_id, sessions=len(ended))

    async def rotate(self, caller: Identity, token_id: TokenId, *, grace: timedelta) -> MintedOrgToken:
        """A fresh token in the place of one, which ends after the grace. Of two who rotate it at once one succeeds.

        Raises `TokenNotFound`, `TokenRotated` or `ScopeMissing`.
        """
        now = self._clock.now()
        async with self._store.begin() as tx:
            old = await _locked(tx, caller, token_id, now=now)
            if old.rotated_at is not None:
                raise TokenRotated
            maker = await _maker(tx, caller, now=now)
            ends = lifetimes.compute_rotated_expiry(old.expires_at, now=now, grace=grace)
            same = OrgTokenRequest(org_id=old.org_id, name=old.name, scopes=old.scopes, expires_at=old.expires_at)
            handed = await _hand(tx, same, maker, now=now)
            await tx.orgs.retire(token_id, now=now, expires_at=ends)
            await self._note(tx, "org-token.rotated", old, successor=handed.record.token_id)
            remembered = (old.digest, *await tx.sessions.of(token_id))
            await tx.announce([RevokedToken(digest) for digest in remembered], now=now)
        log.info("org token rotated", org=old.org_id, token=token_id, successor=handed.record.token_id)
        return replace(handed, previous_expires_at=ends)

    async def _note(self, tx: Transaction, action: str, record: OrgTokenRecord, **details: object) -> None:
        await self._audit.note(tx, action, workspace_id="", org_id=record.org_id, subject=record.token_id, **details)


def _org_for(caller: Identity, org_id: str) -> str:
    """The organisation that is meant; an organisation token speaks of its own only."""
    if caller.kind is not Kind.ORG:
        return org_id
    if org_id not in {"", caller.org_id}:
        raise OrgAccessDenied
    return caller.org_id


async def _lock_root(tx: Transaction, org_id: str) -> None:
    """Nobody else adds or ends tokens of the organisation, or ends itself, until the transaction ends."""
    if not is_live_root(await tx.lock_placement(WorkspaceId(org_id))):
        raise OrgNotFound


async def _locked(tx: Transaction, caller: Identity, token_id: TokenId, *, now: datetime) -> OrgTokenRecord:
    """The live token, whose organisation is locked. One of another organisation does not exist for the caller."""
    found = await tx.orgs.find(token_id, now=now)
    if found is None or (caller.kind is Kind.ORG and found.org_id != caller.org_id):
        raise TokenNotFound
    await tx.lock_placement(WorkspaceId(found.org_id))
    still = await tx.orgs.find(token_id, now=now)
    if still is None:
        raise TokenNotFound
    return still


async def _maker(tx: Transaction, caller: Identity, *, now: datetime) -> _Maker:
    """Who makes a token. An organisation token that was live at the gate may be so no more."""
    if caller.kind is not Kind.ORG:
        return _Maker(name="admin-token" if caller.kind is Kind.ADMIN else "")
    own = await tx.orgs.find(TokenId(caller.name), now=now)
    if own is None:
        raise InvalidBearer("invalid admin auth token")
    return _Maker(name=f"org-token:{own.prefix}", scopes=own.scopes, expires_at=own.expires_at)


async def _hand(tx: Transaction, wanted: OrgTokenRequest, maker: _Maker, *, now: datetime) -> MintedOrgToken:
    lacking = scopes.find_excess_scope(wanted.scopes, maker.scopes)
    if lacking is not None:
        raise ScopeMissing(details={"required_scope": lacking.value})
    fresh = tokens.encode_token(secrets.token_bytes(tokens.TOKEN_BYTES))
    record = OrgTokenRecord(
        token_id=TokenId(str(uuid4())),
        org_id=wanted.org_id,
        digest=fresh.digest,
        prefix=fresh.prefix,
        scopes=wanted.scopes,
        name=wanted.name,
        created_by=maker.name,
        created_at=now,
        expires_at=lifetimes.choose_earlier(wanted.expires_at, maker.expires_at),
    )
    await tx.orgs.add(record)
    return MintedOrgToken(record=record, text=fresh.text)
