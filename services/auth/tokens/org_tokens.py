"""Lists, mints, revokes and rotates organisation tokens. A token never exceeds the token that minted it."""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

import structlog

from services.auth.audit_log import AuditLog
from services.auth.errors import (
    InvalidToken,
    OrgAccessDenied,
    OrgNotFound,
    TokenLimit,
    TokenNotFound,
    TokenRotated,
)
from services.auth.model.placements import WorkspaceId
from services.auth.model.revocations import RevokedToken
from services.auth.model.tokens import (
    MintedOrgToken,
    Minter,
    OrgTokenRecord,
    OrgTokenRequest,
    TokenBounds,
    TokenId,
)
from services.auth.rules import minting, token_expiry, token_text
from services.auth.rules.placements import is_live_root
from services.auth.store.transaction import Store, Transaction
from services.auth.tokens.minters import get_minter
from services.chassis.clock import Clock
from services.chassis.identity import Identity, Kind

log = structlog.get_logger()

MAX_TOKENS_PER_ORG = 500
"""Limit of the live tokens of one organisation; one page of a list shows as many."""


REFUSAL = "invalid admin auth token"
"""The text of the admin gate for a caller whose token has ended since."""


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
        """Add a token, which ends with the caller's own token at the latest.

        Raises `OrgNotFound`, `OrgAccessDenied`, `ScopeMissing`, `TokenLimit`, `InvalidToken` or `InvalidBearer`.
        """
        now = self._clock.now()
        token_expiry.require_future(request.expires_at, now=now)
        org_id = _resolve_org(caller, request.org_id)
        if not org_id:
            raise InvalidToken("org_id is required")
        async with self._store.begin() as tx:
            await tx.token_tree.lock()
            await _lock_root(tx, org_id)
            minter = await get_minter(tx, caller, now=now, refusal=REFUSAL)
            minting.require_scopes(minter, request.scopes)
            if await tx.org_tokens.count(org_id, now=now) >= MAX_TOKENS_PER_ORG:
                raise TokenLimit("maximum 500 active tokens per organisation")
            bounds = minting.bound_new_token(minter, request.expires_at)
            minted = await _add_token(tx, replace(request, org_id=org_id), minter, bounds, now=now)
            await self._append_record(tx, "org-token.minted", minted.record, scopes=sorted(minted.record.scopes))
        log.info("org token minted", org=org_id, token=minted.record.token_id)
        return minted

    async def revoke(self, caller: Identity, token_id: TokenId) -> None:
        """Revoke a token, and the tokens and sessions that came from it; raises `TokenNotFound`."""
        now = self._clock.now()
        async with self._store.begin() as tx:
            await tx.token_tree.lock()
            record = await _lock_live(tx, caller, token_id, now=now)
            revoked = await tx.token_tree.revoke([token_id], now=now)
            await self._append_record(tx, "org-token.revoked", record, count=len(revoked))
            await tx.revocations.publish([RevokedToken(digest) for digest in revoked], now=now)
        log.info("org token revoked", org=record.org_id, token=token_id, count=len(revoked))

    async def rotate(self, caller: Identity, token_id: TokenId, *, grace: timedelta) -> MintedOrgToken:
        """Replace a token by a new one, which takes over what it minted; the replaced token expires after the grace.

        Of two concurrent rotations of one token one succeeds. Raises `TokenNotFound`, `TokenRotated`, `InvalidBearer`
        or `ScopeMissing`.
        """
        now = self._clock.now()
        async with self._store.begin() as tx:
            await tx.token_tree.lock()
            old = await _lock_live(tx, caller, token_id, now=now)
            if old.rotated_at is not None:
                raise TokenRotated
            minter = await get_minter(tx, caller, now=now, refusal=REFUSAL)
            minting.require_scopes(minter, old.scopes)
            is_descendant = minter.token_id is not None and await tx.token_tree.is_descendant(
                token_id, of=minter.token_id
            )
            bounds = minting.bound_successor(minter, old, is_descendant=is_descendant)
            old_expires_at = token_expiry.compute_rotated_expiry(old.expires_at, now=now, grace=grace)
            same = OrgTokenRequest(org_id=old.org_id, name=old.name, scopes=old.scopes)
            minted = await _add_token(tx, same, minter, bounds, now=now)
            shortened = await tx.token_tree.replace_parent(
                token_id, minted.record.token_id, expires_at=bounds.expires_at
            )
            await tx.org_tokens.mark_rotated(token_id, now=now, expires_at=old_expires_at)
            await self._append_record(tx, "org-token.rotated", old, successor=minted.record.token_id)
            # The gateway caches the expiry of the token, which also limits its sessions.
            cached = (old.digest, *shortened, *await tx.sessions.list_opened_by(token_id))
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


async def _add_token(
    tx: Transaction, request: OrgTokenRequest, minter: Minter, bounds: TokenBounds, *, now: datetime
) -> MintedOrgToken:
    token = token_text.encode_token(secrets.token_bytes(token_text.TOKEN_BYTES))
    record = OrgTokenRecord(
        token_id=TokenId(str(uuid4())),
        org_id=request.org_id,
        digest=token.digest,
        prefix=token.prefix,
        scopes=request.scopes,
        name=request.name,
        created_by=minter.name,
        created_at=now,
        expires_at=bounds.expires_at,
        parent_token_id=bounds.parent_token_id,
    )
    await tx.org_tokens.add(record)
    return MintedOrgToken(record=record, text=token.text)
