"""The tokens of workspaces ♥ as people look after them: list, mint, revoke, rotate."""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

import structlog

from services.auth import lifetimes, tokens
from services.auth.audit import AuditLog
from services.auth.errors import OrgAccessDenied, TokenLimit, TokenNotFound, TokenRotated
from services.auth.model import Placement, RevokedToken, TokenId, WorkspaceId
from services.auth.placements import require_active
from services.auth.records import MintedToken, WorkspaceTokenRecord
from services.auth.store.keys import Store, Transaction
from services.chassis.clock import Clock
from services.chassis.identity import Identity, Kind

log = structlog.get_logger()

MAX_TOKENS_PER_WORKSPACE = 50
"""Live tokens of one workspace."""

MAX_TOKENS_INCLUDING_ROTATED = 2 * MAX_TOKENS_PER_WORKSPACE
"""The same with those that have been rotated and are still in their grace."""

TEST_TOKEN_LIFETIME = timedelta(days=1)
"""A test token is for trying something out; nobody thinks of revoking it."""


class WorkspaceTokenService:
    """What people do to the tokens of a workspace."""

    def __init__(self, store: Store, *, audit: AuditLog, clock: Clock) -> None:
        self._store = store
        self._audit = audit
        self._clock = clock

    async def list(
        self, caller: Identity, workspace_id: WorkspaceId, *, size: int, offset: int
    ) -> Sequence[WorkspaceTokenRecord]:
        """The live ones, the newest first; none of a workspace that is not known."""
        async with self._store.reading() as tx:
            _check_org(caller, await tx.find_placement(workspace_id))
            return await tx.tokens.page(workspace_id, now=self._clock.now(), limit=size, offset=offset)

    async def mint(
        self, caller: Identity, workspace_id: WorkspaceId, *, note: str = "", expires_at: datetime | None = None
    ) -> MintedToken:
        """A further token; raises `TokenLimit`, `WorkspaceUnknown`, `WorkspaceBarred` or `InvalidToken`."""
        now = self._clock.now()
        expires_at = lifetimes.require_future(expires_at, now=now)
        async with self._store.begin() as tx:
            placement = await _locked(tx, caller, workspace_id)
            if await tx.tokens.count(workspace_id, now=now) >= MAX_TOKENS_PER_WORKSPACE:
                raise TokenLimit
            handed = await _hand(tx, workspace_id, now=now, note=note, expires_at=expires_at)
            await self._note(tx, "token.minted", placement, handed.record.token_id)
        log.info("token minted", workspace=workspace_id, token=handed.record.token_id)
        return handed

    async def mint_for_test(self, caller: Identity, workspace_id: WorkspaceId) -> MintedToken:
        """A token for whoever tests the workspace."""
        ends = self._clock.now() + TEST_TOKEN_LIFETIME
        return await self.mint(caller, workspace_id, note="test token", expires_at=ends)

    async def revoke(self, caller: Identity, workspace_id: WorkspaceId, token_id: TokenId) -> None:
        """End one token; raises `TokenNotFound`."""
        now = self._clock.now()
        async with self._store.begin() as tx:
            placement = await _locked(tx, caller, workspace_id)
            record = await _live(tx, workspace_id, token_id, now=now)
            await tx.revoke(workspace_id, now=now, only=token_id)
            await self._note(tx, "token.revoked", placement, token_id)
            await tx.announce([RevokedToken(record.digest)], now=now)
        log.info("tokens revoked", workspace=workspace_id, count=1)

    async def rotate(
        self, caller: Identity, workspace_id: WorkspaceId, token_id: TokenId, *, grace: timedelta
    ) -> MintedToken:
        """A fresh token in the place of one, which ends after the grace. Of two who rotate it at once one succeeds.

        Raises `TokenNotFound`, `TokenRotated` or `TokenLimit`.
        """
        now = self._clock.now()
        async with self._store.begin() as tx:
            placement = await _locked(tx, caller, workspace_id)
            old = await _live(tx, workspace_id, token_id, now=now)
            if old.rotated_at is not None:
                raise TokenRotated
            if grace and await tx.tokens.count(workspace_id, now=now) >= MAX_TOKENS_INCLUDING_ROTATED:
                raise TokenLimit("too many tokens in their grace: rotate without one")
            ends = lifetimes.compute_rotated_expiry(old.expires_at, now=now, grace=grace)
            handed = await _hand(
                tx,
                workspace_id,
                now=now,
                note=old.note,
                expires_at=old.expires_at,
                generation=old.generation,
            )
            await tx.tokens.retire(token_id, now=now, expires_at=ends)
            await self._note(tx, "token.rotated", placement, token_id, successor=handed.record.token_id)
            await tx.announce([RevokedToken(old.digest)], now=now)
        log.info("token rotated", workspace=workspace_id, token=token_id, successor=handed.record.token_id)
        return replace(handed, previous_expires_at=ends)

    async def _note(
        self, tx: Transaction, action: str, placement: Placement, token_id: TokenId, **details: object
    ) -> None:
        await self._audit.note(
            tx, action, workspace_id=placement.workspace_id, org_id=placement.org_id, subject=token_id, **details
        )


async def _locked(tx: Transaction, caller: Identity, workspace_id: WorkspaceId) -> Placement:
    """The placement: nobody else changes it or its tokens until the transaction ends."""
    placement = await tx.lock_placement(workspace_id)
    _check_org(caller, placement)
    return require_active(placement)


def _check_org(caller: Identity, placement: Placement | None) -> None:
    """The gate has judged this; a workspace may have moved since."""
    if caller.kind is Kind.ORG and (placement is None or placement.org_id != caller.org_id):
        raise OrgAccessDenied


async def _live(
    tx: Transaction, workspace_id: WorkspaceId, token_id: TokenId, *, now: datetime
) -> WorkspaceTokenRecord:
    found = await tx.tokens.find(workspace_id, token_id, now=now)
    if found is None:
        raise TokenNotFound
    return found


async def _hand(
    tx: Transaction,
    workspace_id: WorkspaceId,
    *,
    now: datetime,
    note: str,
    expires_at: datetime | None,
    generation: int | None = None,
) -> MintedToken:
    fresh = tokens.encode_token(secrets.token_bytes(tokens.TOKEN_BYTES))
    record = WorkspaceTokenRecord(
        token_id=TokenId(str(uuid4())),
        digest=fresh.digest,
        prefix=fresh.prefix,
        generation=generation,
        note=note,
        created_at=now,
        expires_at=expires_at,
    )
    await tx.add_token(
        record.token_id, workspace_id, fresh, generation=generation, now=now, note=note, expires_at=expires_at
    )
    return MintedToken(record=record, text=fresh.text)
