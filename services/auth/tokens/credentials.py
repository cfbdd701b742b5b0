"""Issues and revokes the credentials of workspaces for other services: tokens and inbound secrets."""

import secrets
from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

import structlog

from services.auth.audit_log import AuditLog
from services.auth.errors import MissingBearer, SecretUnreadable, StaleGeneration
from services.auth.model.authorization import CredentialState
from services.auth.model.placements import InboundSecret, Placement, WorkspaceId
from services.auth.model.revocations import RevokedToken, RevokedWorkspace
from services.auth.model.tokens import Credentials, IssuedToken, RegistrationAuth, TokenBounds, TokenId
from services.auth.rules import minting, token_text
from services.auth.rules.placements import require_active
from services.auth.store.transaction import Store, Transaction
from services.auth.tokens.minters import get_org_minter
from services.auth.vault.inbound_secrets import InboundSecrets
from services.chassis.clock import Clock

log = structlog.get_logger()

REFUSAL = "invalid admin auth token"
"""The text of the admin gate for a caller whose token has ended since."""

UNBOUND = TokenBounds(parent_token_id=None, expires_at=None)
"""The bounds of tokens that services issue in their own name, or for the operator."""


class CredentialService:
    """Credentials of workspaces, as the registry and the provisioner need them."""

    def __init__(self, store: Store, *, audit_log: AuditLog, inbound_secrets: InboundSecrets, clock: Clock) -> None:
        self._store = store
        self._audit_log = audit_log
        self._inbound_secrets = inbound_secrets
        self._clock = clock

    async def issue(
        self, workspace_id: WorkspaceId, *, generation: int | None, org_token_id: TokenId | None = None
    ) -> IssuedToken:
        """Issue a token.

        With a generation, all tokens issued before are revoked, tokens of earlier generations are no longer live, and
        the inbound secret is replaced: what took the place of the last instance may have seen it. `org_token_id` is
        the organisation token on whose behalf the token is issued, which ends with it.
        Raises `WorkspaceUnknown`, `WorkspaceBarred`, `StaleGeneration`, `ScopeMissing`, or `InvalidBearer` if that
        has ended.
        """
        now = self._clock.now()
        async with self._store.begin() as tx:
            if org_token_id is not None:
                await tx.token_tree.lock()
            placement = require_active(await tx.placements.lock(workspace_id))
            bounds = UNBOUND if org_token_id is None else await _find_bounds(tx, org_token_id, now=now)
            superseded = await _start_generation(tx, placement, generation, now) if generation is not None else 0
            if generation is not None:
                await self._inbound_secrets.replace(tx, workspace_id)
            issued = await _add_token(tx, workspace_id, replace(bounds, generation=generation), now=now)
            await self._append_record(tx, "token.issued", placement, subject=issued.token_id, generation=generation)
            if superseded:
                await tx.revocations.publish([RevokedWorkspace(workspace_id)], now=now)
        log.info("token issued", workspace=workspace_id, generation=generation, superseded=superseded)
        return issued

    async def revoke(self, workspace_id: WorkspaceId, *, only: TokenId | None = None) -> int:
        """Revoke the tokens of the workspace, or one of them and those that it minted; return how many were live."""
        now = self._clock.now()
        async with self._store.begin() as tx:
            await tx.token_tree.lock()
            placement = await tx.placements.lock(workspace_id)
            if only is None:
                revoked = await tx.workspace_tokens.revoke(workspace_id, now=now)
            else:
                is_live = await tx.workspace_tokens.find(workspace_id, only, now=now) is not None
                revoked = await tx.token_tree.revoke([only] if is_live else [], now=now)
            if placement and revoked:
                await self._append_record(tx, "token.revoked", placement, subject=only or "", count=len(revoked))
            await tx.revocations.publish([RevokedToken(digest) for digest in revoked], now=now)
        if revoked:
            log.info("tokens revoked", workspace=workspace_id, count=len(revoked))
        return len(revoked)

    async def revoke_stale(self, workspace_ids: Collection[WorkspaceId], *, unused_for: timedelta) -> int:
        """Revoke tokens of instances that no longer exist (PROV-44); return how many were live.

        A token that was issued or used within `unused_for` stays, also one that a restart issues meanwhile (PROV-45).
        What the revoked tokens minted ends with them.
        """
        now = self._clock.now()
        async with self._store.begin() as tx:
            await tx.token_tree.lock()
            stale = await tx.workspace_tokens.revoke_stale(workspace_ids, now=now, unused_since=now - unused_for)
            below = await tx.token_tree.revoke([token_id for _, token_id, _ in stale], now=now)
            for workspace_id, count in sorted(Counter(workspace_id for workspace_id, _, _ in stale).items()):
                placement = await tx.placements.find(workspace_id)
                if placement:
                    await self._append_record(tx, "token.revoked", placement, subject="", count=count, stale=True)
                log.info("stale tokens revoked", workspace=workspace_id, count=count)
            digests = (*(digest for _, _, digest in stale), *below)
            await tx.revocations.publish([RevokedToken(digest) for digest in digests], now=now)
        return len(stale)

    async def ensure_credentials(self, workspace_id: WorkspaceId, *, auth: RegistrationAuth) -> Credentials:
        """Return a token if a workspace registers anonymously, and its inbound secret if that opens.

        Raises `MissingBearer` if the workspace registers anonymously and a token is live by now: of two concurrent
        first registrations one succeeds. A workspace that authenticated receives none, also if its token has ended by
        now: a token that ends must not be followed by one that lasts.
        """
        now = self._clock.now()
        async with self._store.begin() as tx:
            placement = require_active(await tx.placements.lock(workspace_id))
            state = await tx.placements.find_credential_state(workspace_id, now=now)
            needs_token = auth is RegistrationAuth.ANONYMOUS
            if needs_token and state is CredentialState.HAS_LIVE_TOKEN:
                raise MissingBearer
            token = await _add_token(tx, workspace_id, UNBOUND, now=now) if needs_token else None
            secret = await self._open_inbound_secret(tx, workspace_id)
            keys = tuple(sealed.key for sealed in await tx.vault.list_agent_credentials(workspace_id))
            if token:
                await self._append_record(tx, "token.issued", placement, subject=token.token_id, arrival=auth.value)
        if token:
            log.info("token issued", workspace=workspace_id, generation=None, superseded=0)
        return Credentials(token=token, inbound_secret=secret, agent_credential_keys=keys)

    async def read_or_heal_inbound_secret(self, workspace_id: WorkspaceId) -> InboundSecret:
        """Return the secret that the plane presents to the workspace; creates it if it is missing."""
        async with self._store.begin() as tx:
            return await self._inbound_secrets.read_or_heal(tx, workspace_id)

    async def _append_record(
        self, tx: Transaction, action: str, placement: Placement, *, subject: str, **details: object
    ) -> None:
        await self._audit_log.append(
            tx, action, workspace_id=placement.workspace_id, org_id=placement.org_id, subject=subject, **details
        )

    async def _open_inbound_secret(self, tx: Transaction, workspace_id: WorkspaceId) -> str | None:
        """Return `None` for a secret that cannot be opened, so that the workspace can register without it."""
        try:
            return (await self._inbound_secrets.read_or_heal(tx, workspace_id)).text
        except SecretUnreadable as error:
            log.warning("inbound secret unreadable", workspace=workspace_id, **error.details)
            return None


async def _start_generation(tx: Transaction, placement: Placement, generation: int, now: datetime) -> int:
    """Revoke the tokens of all earlier generations and of none; return how many were live."""
    if generation < placement.lowest_generation:
        raise StaleGeneration(details={"lowest_generation": placement.lowest_generation})
    await tx.placements.raise_generation(placement.workspace_id, generation)
    return len(await tx.workspace_tokens.revoke(placement.workspace_id, now=now))


async def _find_bounds(tx: Transaction, org_token_id: TokenId, *, now: datetime) -> TokenBounds:
    """Return the bounds of a token that is issued on behalf of an organisation token."""
    minter = await get_org_minter(tx, org_token_id, now=now, refusal=REFUSAL)
    minting.require_minting_scope(minter)
    return minting.bound_new_token(minter, None)


async def _add_token(tx: Transaction, workspace_id: WorkspaceId, bounds: TokenBounds, *, now: datetime) -> IssuedToken:
    token = token_text.encode_token(secrets.token_bytes(token_text.TOKEN_BYTES))
    token_id = TokenId(str(uuid4()))
    await tx.workspace_tokens.add(
        token_id,
        workspace_id,
        token,
        generation=bounds.generation,
        now=now,
        expires_at=bounds.expires_at,
        parent_token_id=bounds.parent_token_id,
    )
    return IssuedToken(token_id, token.text)
