"""The heart: everything that can happen to a key."""

import hmac
import secrets
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import uuid4

import structlog

from services.auth import gates, tokens
from services.auth.audit import AuditLog
from services.auth.errors import MissingBearer, SecretUnreadable, StaleGeneration
from services.auth.inbound import InboundSecrets
from services.auth.model import (
    AccessMode,
    AdminBearer,
    Anonymous,
    AuthorizationRequest,
    Bearer,
    Credentials,
    CredentialState,
    Digest,
    Grant,
    InboundSecret,
    IssuedToken,
    OrgBearer,
    OrgMembership,
    Placement,
    RegistrationAuth,
    RevokedToken,
    RevokedWorkspace,
    TokenId,
    UnknownBearer,
    WorkspaceBearer,
    WorkspaceId,
)
from services.auth.placements import require_active
from services.auth.records import AdminSession
from services.auth.store.keys import Store, Transaction
from services.auth.usage import LastUsedRecorder
from services.chassis.batching import Batcher
from services.chassis.clock import Clock

log = structlog.get_logger()

UNCONFIRMED = timedelta(minutes=10)
"""How long a placement waits to be confirmed: far longer than any creation takes."""

TOGETHER = 500
"""Bearers looked up at once."""


class Keyring:
    """Who is calling, and who may not call any more: a method and a transaction for each thing that can happen."""

    def __init__(
        self,
        store: Store,
        *,
        audit: AuditLog,
        inbound: InboundSecrets,
        usage: LastUsedRecorder,
        clock: Clock,
        mode: AccessMode,
        operator: Digest | None,
    ) -> None:
        """`operator` is the digest of ADMIN_TOKEN, where there is one."""
        self._store = store
        self._audit = audit
        self._inbound = inbound
        self._usage = usage
        self._clock = clock
        self._mode = mode
        self._operator = operator
        self._lookup: Batcher[Digest, Bearer] = Batcher(self._look, capacity=TOGETHER, at_once=2)

    # Who is calling ───────────────────────────────────────────────────────────

    async def authorize(self, bearer: str | None, knock: AuthorizationRequest, *, session: str | None = None) -> Grant:
        """As whom the bearer, or without one the browser session, passes the gate.

        Raises the refusal in the gate's own words.
        """
        known = await self._recognise(bearer, session)
        standing, org_id = await self._standing(knock, known), await self._org(knock, known)
        grant = gates.check_gate(knock, known, self._mode, standing=standing, org_id=org_id)
        if isinstance(known, WorkspaceBearer | OrgBearer):
            self._usage.note(known.token_id)
        return grant

    # Workspaces ───────────────────────────────────────────────────────────────

    async def place(self, homes: Collection[OrgMembership]) -> None:
        """Know workspaces that are about to be created, or have moved. Erased again unless confirmed in time."""
        await self._settle(homes, confirmed_at=None)

    async def confirm(self, homes: Collection[OrgMembership]) -> None:
        """The workspaces exist; whoever is not known yet is placed."""
        await self._settle(homes, confirmed_at=self._clock.now())

    async def bar(self, workspace_id: WorkspaceId) -> int:
        """Revoke every token and refuse to issue another, for good, even for a workspace never heard of."""
        now = self._clock.now()
        async with self._store.begin() as tx:
            await tx.bar(workspace_id, now=now)
            revoked = await tx.revoke(workspace_id, now=now)
            await tx.announce([RevokedWorkspace(workspace_id)], now=now)
        log.info("workspace barred", workspace=workspace_id, revoked=len(revoked))
        return len(revoked)

    async def forget(self, workspace_id: WorkspaceId) -> None:
        """Erase all that is known of the workspace."""
        async with self._store.begin() as tx:
            if await tx.forget(workspace_id):
                await tx.announce([RevokedWorkspace(workspace_id)], now=self._clock.now())

    async def forget_unconfirmed(self) -> None:
        """Erase the workspaces whose creation came to nothing."""
        now = self._clock.now()
        async with self._store.begin() as tx:
            forgotten = await tx.forget_unconfirmed(placed_before=now - UNCONFIRMED)
            await tx.announce([RevokedWorkspace(workspace_id) for workspace_id in forgotten], now=now)
        if forgotten:
            log.info("unconfirmed placements erased", count=len(forgotten))

    # Credentials ──────────────────────────────────────────────────────────────

    async def issue(self, workspace_id: WorkspaceId, *, generation: int | None) -> IssuedToken:
        """A fresh token. One for a generation revokes all that were issued before, and no earlier one verifies again.

        Raises `WorkspaceUnknown`, `WorkspaceBarred` or `StaleGeneration`.
        """
        now = self._clock.now()
        async with self._store.begin() as tx:
            placement = require_active(await tx.lock_placement(workspace_id))
            superseded = await self._supersede(tx, placement, generation, now) if generation is not None else 0
            issued = await _add_token(tx, workspace_id, generation=generation, now=now)
            await self._note(tx, "token.issued", placement, subject=issued.token_id, generation=generation)
            if superseded:
                await tx.announce([RevokedWorkspace(workspace_id)], now=now)
        log.info("token issued", workspace=workspace_id, generation=generation, superseded=superseded)
        return issued

    async def revoke(self, workspace_id: WorkspaceId, *, only: TokenId | None = None) -> int:
        """Revoke the workspace's tokens, or one of them; how many were live."""
        now = self._clock.now()
        async with self._store.begin() as tx:
            placement = await tx.lock_placement(workspace_id)
            revoked = await tx.revoke(workspace_id, now=now, only=only)
            if placement and revoked:
                await self._note(tx, "token.revoked", placement, subject=only or "", count=len(revoked))
            await tx.announce([RevokedToken(digest) for digest in revoked], now=now)
        if revoked:
            log.info("tokens revoked", workspace=workspace_id, count=len(revoked))
        return len(revoked)

    async def revoke_stale(self, workspace_ids: Collection[WorkspaceId], *, unused_for: timedelta) -> int:
        """Revoke what instances that are gone have left behind (PROV-44); how many tokens were live.

        A token that was issued or used since is kept, also one that a restart issues at this moment (PROV-45).
        """
        now = self._clock.now()
        async with self._store.begin() as tx:
            stale = await tx.tokens.revoke_stale(workspace_ids, now=now, unused_since=now - unused_for)
            for workspace_id, count in sorted(Counter(workspace_id for workspace_id, _ in stale).items()):
                placement = await tx.find_placement(workspace_id)
                if placement:
                    await self._note(tx, "token.revoked", placement, subject="", count=count, stale=True)
                log.info("stale tokens revoked", workspace=workspace_id, count=count)
            await tx.announce([RevokedToken(digest) for _, digest in stale], now=now)
        return len(stale)

    async def ensure_credentials(self, workspace_id: WorkspaceId, *, arrival: RegistrationAuth) -> Credentials:
        """What a registering workspace lacks: a token where none is live, and its inbound secret if it can be told.

        Whoever came without a token is refused when one is live by now: of two who come first, one wins.
        """
        now = self._clock.now()
        async with self._store.begin() as tx:
            placement = require_active(await tx.lock_placement(workspace_id))
            keyed = await tx.standing(workspace_id, now=now) is CredentialState.HAS_LIVE_TOKEN
            if keyed and arrival is RegistrationAuth.ANONYMOUS:
                raise MissingBearer
            token = None if keyed else await _add_token(tx, workspace_id, generation=None, now=now)
            secret = await self._tellable_secret(tx, workspace_id)
            if token:
                await self._note(tx, "token.issued", placement, subject=token.token_id, arrival=arrival.value)
        if token:
            log.info("token issued", workspace=workspace_id, generation=None, superseded=0)
        return Credentials(token=token, inbound_secret=secret)

    async def read_or_heal_inbound_secret(self, workspace_id: WorkspaceId) -> InboundSecret:
        """The secret that the plane presents to the workspace; made first where it is missing."""
        async with self._store.begin() as tx:
            return await self._inbound.read_or_heal(tx, workspace_id)

    async def _recognise(self, bearer: str | None, session: str | None) -> Bearer:
        if bearer is None:
            return Anonymous() if session is None else await self._seated(session)
        digest = tokens.digest_token(bearer)
        if self._operator is not None and hmac.compare_digest(digest, self._operator):
            await self._must_see()
            return AdminBearer()
        if not tokens.is_well_formed(bearer):
            return UnknownBearer()
        return await self._lookup.submit(digest)

    async def _look(self, digests: Sequence[Digest]) -> Sequence[Bearer]:
        """Who holds each of the tokens; `UnknownBearer` where it is not live."""
        now = self._clock.now()
        async with self._store.reading() as tx:
            found: dict[Digest, Bearer] = dict(await tx.find_holders(digests, now=now))
            if rest := [digest for digest in digests if digest not in found]:
                found |= await tx.orgs.find_holders(rest, now=now)
        return [found.get(digest, UnknownBearer()) for digest in digests]

    async def _must_see(self) -> None:
        """Nobody passes while the store is out of reach, not even who is known without it."""
        async with self._store.reading() as tx:
            await tx.answer()

    async def _seated(self, session: str) -> Bearer:
        """Who is signed in with it; nobody any more if ADMIN_TOKEN has changed since."""
        if not tokens.is_well_formed(session):
            return UnknownBearer()
        async with self._store.reading() as tx:
            found = await tx.sessions.find(tokens.digest_token(session), now=self._clock.now())
        if not isinstance(found, AdminSession):
            return found or UnknownBearer()
        if self._operator is None or not hmac.compare_digest(
            found.mark, tokens.compute_session_mac(session, self._operator)
        ):
            return UnknownBearer()
        return AdminBearer(found.expires_at)

    async def _standing(self, knock: AuthorizationRequest, bearer: Bearer) -> CredentialState | None:
        """How the workspace is known, where that matters. Its own live token proves it, and saves asking."""
        if not gates.needs_credential_state(knock.gate, bearer, self._mode):
            return None
        if isinstance(bearer, WorkspaceBearer) and bearer.workspace_id == knock.workspace_id:
            return CredentialState.HAS_LIVE_TOKEN
        async with self._store.reading() as tx:
            return await tx.standing(knock.workspace_id, now=self._clock.now())

    async def _org(self, knock: AuthorizationRequest, bearer: Bearer) -> str | None:
        """The organisation of the workspace, where that matters and the workspace is known."""
        if knock.workspace_id is None or not gates.needs_org(knock, bearer):
            return None
        async with self._store.reading() as tx:
            placement = await tx.find_placement(knock.workspace_id)
        return placement.org_id if placement else None

    async def _settle(self, homes: Collection[OrgMembership], *, confirmed_at: datetime | None) -> None:
        now = self._clock.now()
        async with self._store.begin() as tx:
            before = await tx.lock_homes([home.workspace_id for home in homes])
            await tx.place(homes, now=now, confirmed_at=confirmed_at)
            await tx.announce([RevokedWorkspace(moved) for moved in _moved(before, homes)], now=now)

    async def _supersede(self, tx: Transaction, placement: Placement, generation: int, now: datetime) -> int:
        if generation < placement.lowest_generation:
            raise StaleGeneration(details={"lowest_generation": placement.lowest_generation})
        await tx.raise_generation(placement.workspace_id, generation)
        return len(await tx.revoke(placement.workspace_id, now=now))

    async def _note(
        self, tx: Transaction, action: str, placement: Placement, *, subject: str, **details: object
    ) -> None:
        await self._audit.note(
            tx, action, workspace_id=placement.workspace_id, org_id=placement.org_id, subject=subject, **details
        )

    async def _tellable_secret(self, tx: Transaction, workspace_id: WorkspaceId) -> str | None:
        try:
            return (await self._inbound.read_or_heal(tx, workspace_id)).text
        except SecretUnreadable as error:
            log.warning("inbound secret unreadable", workspace=workspace_id, **error.details)
            return None


async def _add_token(
    tx: Transaction, workspace_id: WorkspaceId, *, generation: int | None, now: datetime
) -> IssuedToken:
    fresh = tokens.encode_token(secrets.token_bytes(tokens.TOKEN_BYTES))
    token_id = TokenId(str(uuid4()))
    await tx.add_token(token_id, workspace_id, fresh, generation=generation, now=now)
    return IssuedToken(token_id, fresh.text)


def _moved(before: Collection[OrgMembership], after: Collection[OrgMembership]) -> list[WorkspaceId]:
    """The workspaces that now belong to another organisation."""
    known = {home.workspace_id for home in before}
    return sorted(home.workspace_id for home in set(after) - set(before) if home.workspace_id in known)
