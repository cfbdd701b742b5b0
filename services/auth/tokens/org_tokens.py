"""Lists, mints, revokes and rotates organisation tokens. A token never exceeds the scopes and expiry of its creator."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import uuid4

import structlog

from services.auth.audit_log import AuditLog
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
from services.auth.model.placements import WorkspaceId
from services.auth.model.revocations import RevokedToken
from services.auth.model.tokens import MintedOrgToken, OrgTokenRecord, OrgTokenRequest, Scope, TokenId
from services.auth.rules import scopes, token_expiry, token_text
from services.auth.rules.placements import is_live_root
from services.auth.store.transaction import Store, Transaction
from services.chassis.clock import Clock
from services.chassis.identity import Identity, Kind

log = structlog.get_logger()

MAX_TOKENS_PER_ORG = 500
"""Limit of the live tokens of one organisation; one page of a list shows as many."""

ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Creator:
    """The creator of a token: its name, and the scopes and expiry that the token must not exceed."""

    name: str
    scopes: frozenset[Scope] = ALL_SCOPES
    expires_at: datetime | None = None


class OrgTokenService:
    """What users can do with the tokens of organisations."""

    def __init__(self, store: Store, *, audit_log: AuditLog, clock: Clock) -> None:
        self._store = store
        self._audit_log = audit_log
        self._clock = clock

    async def list(self, caller: Identity, *, org_id: str, limit: int, offset: int) -> Sequence[OrgTokenRecord]:
        """Return live tokens that the caller may see, the newest first; an empty `org_id` means all of them."""
        org_id = _resolve_org(caller, org_id)
        async with self._store.reading() as tx:
            return await tx.org_tokens.list_page(org_id, now=self._clock.now(), limit=limit, offset=offset)

    async def mint(self, caller: Identity, request: OrgTokenRequest) -> MintedOrgToken:
        """Add a token.

        Raises `OrgNotFound`, `OrgAccessDenied`, `ScopeMissing`, `TokenLimit` or `InvalidToken`.
        """
        now = self._clock.now()
        token_expiry.require_future(request.expires_at, now=now)
        org_id = _resolve_org(caller, request.org_id)
        if not org_id:
            raise InvalidToken("org_id is required")
        async with self._store.begin() as tx:
            await _lock_root(tx, org_id)
            creator = await _find_creator(tx, caller, now=now)
            if await tx.org_tokens.count(org_id, now=now) >= MAX_TOKENS_PER_ORG:
                raise TokenLimit("maximum 500 active tokens per organisation")
            minted = await _add_token(tx, replace(request, org_id=org_id), creator, now=now)
            await self._append_record(tx, "org-token.minted", minted.record, scopes=sorted(minted.record.scopes))
        log.info("org token minted", org=org_id, token=minted.record.token_id)
        return minted

    async def revoke(self, caller: Identity, token_id: TokenId) -> None:
        """Revoke a token and the sessions that were opened with it; raises `TokenNotFound`."""
        now = self._clock.now()
        async with self._store.begin() as tx:
            record = await _lock_live(tx, caller, token_id, now=now)
            await tx.org_tokens.revoke(token_id, now=now)
            sessions = await tx.sessions.delete_opened_by(token_id)
            await self._append_record(tx, "org-token.revoked", record)
            await tx.revocations.publish([RevokedToken(digest) for digest in (record.digest, *sessions)], now=now)
        log.info("org token revoked", org=record.org_id, token=token_id, sessions=len(sessions))

    async def rotate(self, caller: Identity, token_id: TokenId, *, grace: timedelta) -> MintedOrgToken:
        """Replace a token by a new one; the replaced token expires after the grace.

        Of two concurrent rotations of one token one succeeds. Raises `TokenNotFound`, `TokenRotated` or `ScopeMissing`.
        """
        now = self._clock.now()
        async with self._store.begin() as tx:
            old = await _lock_live(tx, caller, token_id, now=now)
            if old.rotated_at is not None:
                raise TokenRotated
            creator = await _find_creator(tx, caller, now=now)
            old_expires_at = token_expiry.compute_rotated_expiry(old.expires_at, now=now, grace=grace)
            same = OrgTokenRequest(org_id=old.org_id, name=old.name, scopes=old.scopes, expires_at=old.expires_at)
            minted = await _add_token(tx, same, creator, now=now)
            await tx.org_tokens.mark_rotated(token_id, now=now, expires_at=old_expires_at)
            await self._append_record(tx, "org-token.rotated", old, successor=minted.record.token_id)
            # The gateway caches the expiry of the token, which also limits its sessions.
            cached = (old.digest, *await tx.sessions.list_opened_by(token_id))
            await tx.revocations.publish([RevokedToken(digest) for digest in cached], now=now)
        log.info("org token rotated", org=old.org_id, token=token_id, successor=minted.record.token_id)
        return replace(minted, previous_expires_at=old_expires_at)

    async def _append_record(self, tx: Transaction, action: str, record: OrgTokenRecord, **details: object) -> None:
        await self._audit_log.append(
            tx, action, workspace_id="", org_id=record.org_id, subject=record.token_id, **details
        )


def _resolve_org(caller: Identity, org_id: str) -> str:
    """Return the organisation to act on; for an organisation token it can only be its own."""
    if caller.kind is not Kind.ORG:
        return org_id
    if org_id not in {"", caller.org_id}:
        raise OrgAccessDenied
    return caller.org_id


async def _lock_root(tx: Transaction, org_id: str) -> None:
    """Prevent other transactions from changing the tokens of the organisation, or barring its root."""
    if not is_live_root(await tx.placements.lock(WorkspaceId(org_id))):
        raise OrgNotFound


async def _lock_live(tx: Transaction, caller: Identity, token_id: TokenId, *, now: datetime) -> OrgTokenRecord:
    """Return the live token, with the root of its organisation locked.

    Raises `TokenNotFound`, also for a token of another organisation than the caller's.
    """
    found = await tx.org_tokens.find(token_id, now=now)
    if found is None or (caller.kind is Kind.ORG and found.org_id != caller.org_id):
        raise TokenNotFound
    await tx.placements.lock(WorkspaceId(found.org_id))
    locked = await tx.org_tokens.find(token_id, now=now)  # it may have been revoked before the lock
    if locked is None:
        raise TokenNotFound
    return locked


async def _find_creator(tx: Transaction, caller: Identity, *, now: datetime) -> _Creator:
    """Return the creator of a token; raises `InvalidBearer` if the caller's own token is no longer live."""
    if caller.kind is not Kind.ORG:
        return _Creator(name="admin-token" if caller.kind is Kind.ADMIN else "")
    own = await tx.org_tokens.find(TokenId(caller.name), now=now)
    if own is None:
        raise InvalidBearer("invalid admin auth token")
    return _Creator(name=f"org-token:{own.prefix}", scopes=own.scopes, expires_at=own.expires_at)


async def _add_token(tx: Transaction, request: OrgTokenRequest, creator: _Creator, *, now: datetime) -> MintedOrgToken:
    excess = scopes.find_excess_scope(request.scopes, creator.scopes)
    if excess is not None:
        raise ScopeMissing(details={"required_scope": excess.value})
    token = token_text.encode_token(secrets.token_bytes(token_text.TOKEN_BYTES))
    record = OrgTokenRecord(
        token_id=TokenId(str(uuid4())),
        org_id=request.org_id,
        digest=token.digest,
        prefix=token.prefix,
        scopes=request.scopes,
        name=request.name,
        created_by=creator.name,
        created_at=now,
        expires_at=token_expiry.choose_earlier(request.expires_at, creator.expires_at),
    )
    await tx.org_tokens.add(record)
    return MintedOrgToken(record=record, text=token.text)
