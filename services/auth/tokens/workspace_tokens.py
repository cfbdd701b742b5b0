"""Lists, mints, revokes and rotates workspace tokens for users. A token ends with the token that minted it."""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

import structlog

from services.auth.audit_log import AuditLog
from services.auth.errors import InvalidBearer, OrgAccessDenied, TokenLimit, TokenNotFound, TokenRotated
from services.auth.model.placements import Placement, WorkspaceId
from services.auth.model.revocations import RevokedToken
from services.auth.model.tokens import MintedToken, TokenBounds, TokenId, WorkspaceTokenRecord
from services.auth.rules import minting, token_expiry, token_text
from services.auth.rules.placements import require_active
from services.auth.store.transaction import Store, Transaction
from services.auth.tokens.minters import get_minter
from services.chassis.clock import Clock
from services.chassis.identity import Identity, Kind

log = structlog.get_logger()

MAX_TOKENS_PER_WORKSPACE = 50
"""Limit of the live tokens of one workspace."""

MAX_TOKENS_INCLUDING_ROTATED = 2 * MAX_TOKENS_PER_WORKSPACE
"""The same limit for a rotation with a grace, after which the rotated token is live too."""

TEST_TOKEN_LIFETIME = timedelta(days=1)
"""Test tokens expire, because users do not revoke them."""


class WorkspaceTokenService:
    """What users can do with the tokens of a workspace."""

    def __init__(self, store: Store, *, audit_log: AuditLog, clock: Clock) -> None:
        self._store = store
        self._audit_log = audit_log
        self._clock = clock

    async def list(
        self, caller: Identity, workspace_id: WorkspaceId, *, limit: int, offset: int
    ) -> Sequence[WorkspaceTokenRecord]:
        """Return live tokens, the newest first; none for an unknown workspace."""
        async with self._store.reading() as tx:
            _check_org(caller, await tx.placements.find(workspace_id))
            return await tx.workspace_tokens.list_page(workspace_id, now=self._clock.now(), limit=limit, offset=offset)

    async def mint(
        self, caller: Identity, workspace_id: WorkspaceId, *, note: str = "", expires_at: datetime | None = None
    ) -> MintedToken:
        """Add a token, which ends with the caller's own token at the latest.

        Raises `TokenLimit`, `WorkspaceUnknown`, `WorkspaceBarred`, `InvalidToken`, `InvalidBearer` or `ScopeMissing`.
        """
        now = self._clock.now()
        expires_at = token_expiry.require_future(expires_at, now=now)
        async with self._store.begin() as tx:
            await tx.token_tree.lock()
            placement = await _lock_placement(tx, caller, workspace_id)
            minter = await get_minter(tx, caller, now=now, refusal=InvalidBearer.message)
            minting.require_minting_scope(minter)
            if await tx.workspace_tokens.count(workspace_id, now=now) >= MAX_TOKENS_PER_WORKSPACE:
                raise TokenLimit
            bounds = minting.bound_new_token(minter, expires_at)
            minted = await _add_token(tx, workspace_id, bounds, now=now, note=note)
            await self._append_record(tx, "token.minted", placement, minted.record.token_id, **_name_parent(bounds))
        log.info("token minted", workspace=workspace_id, token=minted.record.token_id)
        return minted

    async def mint_for_test(self, caller: Identity, workspace_id: WorkspaceId) -> MintedToken:
        """Add a token that expires after `TEST_TOKEN_LIFETIME`."""
        expires_at = self._clock.now() + TEST_TOKEN_LIFETIME
        return await self.mint(caller, workspace_id, note="test token", expires_at=expires_at)

    async def revoke(self, caller: Identity, workspace_id: WorkspaceId, token_id: TokenId) -> None:
        """Revoke one token, and those that it minted; raises `TokenNotFound`."""
        now = self._clock.now()
        async with self._store.begin() as tx:
            await tx.token_tree.lock()
            placement = await _lock_placement(tx, caller, workspace_id)
            await _get_live(tx, workspace_id, token_id, now=now)
            revoked = await tx.token_tree.revoke([token_id], now=now)
            await self._append_record(tx, "token.revoked", placement, token_id, count=len(revoked))
            await tx.revocations.publish([RevokedToken(digest) for digest in revoked], now=now)
        log.info("tokens revoked", workspace=workspace_id, count=len(revoked))

    async def rotate(
        self, caller: Identity, workspace_id: WorkspaceId, token_id: TokenId, *, grace: timedelta
    ) -> MintedToken:
        """Replace a token by a new one, which takes over what it minted; the replaced token expires after the grace.

        Of two concurrent rotations of one token one succeeds. Raises `TokenNotFound`, `TokenRotated`, `TokenLimit`,
        `InvalidBearer` or `ScopeMissing`.
        """
        now = self._clock.now()
        async with self._store.begin() as tx:
            await tx.token_tree.lock()
            placement = await _lock_placement(tx, caller, workspace_id)
            minter = await get_minter(tx, caller, now=now, refusal=InvalidBearer.message)
            minting.require_minting_scope(minter)
            old = await _get_live(tx, workspace_id, token_id, now=now)
            if old.rotated_at is not None:
                raise TokenRotated
            if grace and await tx.workspace_tokens.count(workspace_id, now=now) >= MAX_TOKENS_INCLUDING_ROTATED:
                raise TokenLimit("too many tokens in their grace: rotate without one")
            old_expires_at = token_expiry.compute_rotated_expiry(old.expires_at, now=now, grace=grace)
            is_descendant = minter.token_id is not None and await tx.token_tree.is_descendant(
                token_id, of=minter.token_id
            )
            bounds = minting.bound_successor(minter, old, is_descendant=is_descendant)
            minted = await _add_token(tx, workspace_id, bounds, now=now, note=old.note)
            shortened = await tx.token_tree.replace_parent(
                token_id, minted.record.token_id, expires_at=bounds.expires_at
            )
            await tx.workspace_tokens.mark_rotated(token_id, now=now, expires_at=old_expires_at)
            await self._append_record(
                tx, "token.rotated", placement, token_id, successor=minted.record.token_id, **_name_parent(bounds)
            )
            await tx.revocations.publish([RevokedToken(digest) for digest in (old.digest, *shortened)], now=now)
        log.info("token rotated", workspace=workspace_id, token=token_id, successor=minted.record.token_id)
        return replace(minted, previous_expires_at=old_expires_at)

    async def _append_record(
        self, tx: Transaction, action: str, placement: Placement, token_id: TokenId, **details: object
    ) -> None:
        await self._audit_log.append(
            tx, action, workspace_id=placement.workspace_id, org_id=placement.org_id, subject=token_id, **details
        )


async def _lock_placement(tx: Transaction, caller: Identity, workspace_id: WorkspaceId) -> Placement:
    placement = await tx.placements.lock(workspace_id)
    _check_org(caller, placement)
    return require_active(placement)


def _check_org(caller: Identity, placement: Placement | None) -> None:
    """Repeat the check of the gate, because the workspace may have moved since."""
    if caller.kind is Kind.ORG and (placement is None or placement.org_id != caller.org_id):
        raise OrgAccessDenied


async def _get_live(
    tx: Transaction, workspace_id: WorkspaceId, token_id: TokenId, *, now: datetime
) -> WorkspaceTokenRecord:
    record = await tx.workspace_tokens.find(workspace_id, token_id, now=now)
    if record is None:
        raise TokenNotFound
    return record


async def _add_token(
    tx: Transaction, workspace_id: WorkspaceId, bounds: TokenBounds, *, now: datetime, note: str
) -> MintedToken:
    token = token_text.encode_token(secrets.token_bytes(token_text.TOKEN_BYTES))
    record = WorkspaceTokenRecord(
        token_id=TokenId(str(uuid4())),
        digest=token.digest,
        prefix=token.prefix,
        generation=bounds.generation,
        note=note,
        created_at=now,
        expires_at=bounds.expires_at,
        parent_token_id=bounds.parent_token_id,
    )
    await tx.workspace_tokens.add(
        record.token_id,
        workspace_id,
        token,
        generation=bounds.generation,
        now=now,
        note=note,
        expires_at=bounds.expires_at,
        parent_token_id=bounds.parent_token_id,
    )
    return MintedToken(record=record, text=token.text)


def _name_parent(bounds: TokenBounds) -> dict[str, object]:
    """Return what an audit record says of the parent of a token."""
    return {"parent": bounds.parent_token_id} if bounds.parent_token_id else {}
