"""Issues and revokes the credentials of workspaces for other services: tokens and inbound secrets."""

import secrets
from collections import Counter
from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import uuid4

import structlog

from services.auth.audit_log import AuditLog
from services.auth.errors import MissingBearer, SecretUnreadable, StaleGeneration
from services.auth.model.authorization import CredentialState
from services.auth.model.placements import InboundSecret, Placement, WorkspaceId
from services.auth.model.revocations import RevokedToken, RevokedWorkspace
from services.auth.model.tokens import Credentials, IssuedToken, RegistrationAuth, TokenId
from services.auth.rules import token_text
from services.auth.rules.placements import require_active
from services.auth.store.transaction import Store, Transaction
from services.auth.vault.inbound_secrets import InboundSecrets
from services.chassis.clock import Clock

log = structlog.get_logger()


class CredentialService:
    """Credentials of workspaces, as the registry and the provisioner need them."""

    def __init__(self, store: Store, *, audit_log: AuditLog, inbound_secrets: InboundSecrets, clock: Clock) -> None:
        self._store = store
        self._audit_log = audit_log
        self._inbound_secrets = inbound_secrets
        self._clock = clock

    async def issue(self, workspace_id: WorkspaceId, *, generation: int | None) -> IssuedToken:
        """Issue a token.

        With a generation, all tokens issued before are revoked, tokens of earlier generations are no longer live, and
        the inbound secret is replaced: what took the place of the last instance may have seen it.
        Raises `WorkspaceUnknown`, `WorkspaceBarred` or `StaleGeneration`.
        """
        now = self._clock.now()
        async with self._store.begin() as tx:
            placement = require_active(await tx.placements.lock(workspace_id))
            superseded = await _start_generation(tx, placement, generation, now) if generation is not None else 0
            if generation is not None:
                await self._inbound_secrets.replace(tx, workspace_id)
            issued = await _add_token(tx, workspace_id, generation=generation, now=now)
            await self._append_record(tx, "token.issued", placement, subject=issued.token_id, generation=generation)
            if superseded:
                await tx.revocations.publish([RevokedWorkspace(workspace_id)], now=now)
        log.info("token issued", workspace=workspace_id, generation=generation, superseded=superseded)
        return issued

    async def revoke(self, workspace_id: WorkspaceId, *, only: TokenId | None = None) -> int:
        """Revoke the tokens of the workspace, or one of them; return how many were live."""
        now = self._clock.now()
        async with self._store.begin() as tx:
            placement = await tx.placements.lock(workspace_id)
            revoked = await tx.workspace_tokens.revoke(workspace_id, now=now, only=only)
            if placement and revoked:
                await self._append_record(tx, "token.revoked", placement, subject=only or "", count=len(revoked))
            await tx.revocations.publish([RevokedToken(digest) for digest in revoked], now=now)
        if revoked:
            log.info("tokens revoked", workspace=workspace_id, count=len(revoked))
        return len(revoked)

    async def revoke_stale(self, workspace_ids: Collection[WorkspaceId], *, unused_for: timedelta) -> int:
        """Revoke tokens of instances that no longer exist (PROV-44); return how many were live.

        A token that was issued or used within `unused_for` stays, also one that a restart issues meanwhile (PROV-45).
        """
        now = self._clock.now()
        async with self._store.begin() as tx:
            stale = await tx.workspace_tokens.revoke_stale(workspace_ids, now=now, unused_since=now - unused_for)
            for workspace_id, count in sorted(Counter(workspace_id for workspace_id, _ in stale).items()):
                placement = await tx.placements.find(workspace_id)
                if placement:
                    await self._append_record(tx, "token.revoked", placement, subject="", count=count, stale=True)
                log.info("stale tokens revoked", workspace=workspace_id, count=count)
            await tx.revocations.publish([RevokedToken(digest) for _, digest in stale], now=now)
        return len(stale)

    async def ensure_credentials(self, workspace_id: WorkspaceId, *, auth: RegistrationAuth) -> Credentials:
        """Return what a registering workspace lacks: a token if none is live, and its inbound secret if it opens.

        Raises `MissingBearer` if the workspace registers anonymously and a token is live by now: of two concurrent
        first registrations one succeeds.
        """
        now = self._clock.now()
        async with self._store.begin() as tx:
            placement = require_active(await tx.placements.lock(workspace_id))
            state = await tx.placements.find_credential_state(workspace_id, now=now)
            has_live_token = state is CredentialState.HAS_LIVE_TOKEN
            if has_live_token and auth is RegistrationAuth.ANONYMOUS:
                raise MissingBearer
            token = None if has_live_token else await _add_token(tx, workspace_id, generation=None, now=now)
            secret = await self._open_inbound_secret(tx, workspace_id)
            if token:
                await self._append_record(tx, "token.issued", placement, subject=token.token_id, arrival=auth.value)
        if token:
            log.info("token issued", workspace=workspace_id, generation=None, superseded=0)
        return Credentials(token=token, inbound_secret=secret)

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


async def _add_token(
    tx: Transaction, workspace_id: WorkspaceId, *, generation: int | None, now: datetime
) -> IssuedToken:
    token = token_text.encode_token(secrets.token_bytes(token_text.TOKEN_BYTES))
    token_id = TokenId(str(uuid4()))
    await tx.workspace_tokens.add(token_id, workspace_id, token, generation=generation, now=now)
    return IssuedToken(token_id, token.text)
