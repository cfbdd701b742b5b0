"""Recognises the bearer of a request and checks it at a gate."""

import hmac
from collections.abc import Sequence

from services.auth.model.authorization import (
    AccessMode,
    AdminBearer,
    Anonymous,
    AuthorizationRequest,
    Bearer,
    CredentialState,
    Grant,
    OrgBearer,
    UnknownBearer,
    WorkspaceBearer,
)
from services.auth.model.tokens import AdminSession, Digest
from services.auth.rules import gates, token_text
from services.auth.store.transaction import Store
from services.auth.tokens.last_used import LastUsedRecorder
from services.chassis.batching import Batcher
from services.chassis.clock import Clock

MAX_BEARERS_PER_QUERY = 500
"""Limit of the bearers that are looked up together."""

MAX_QUERIES_AT_ONCE = 2
"""Limit of the lookups that run at the same time."""


class Authorizer:
    """Authorises requests at gates."""

    def __init__(
        self, store: Store, *, last_used: LastUsedRecorder, clock: Clock, mode: AccessMode, admin_digest: Digest | None
    ) -> None:
        """`admin_digest` is the digest of ADMIN_TOKEN; `None` if there is none."""
        self._store = store
        self._last_used = last_used
        self._clock = clock
        self._mode = mode
        self._admin_digest = admin_digest
        self._lookups: Batcher[Digest, Bearer] = Batcher(
            self._find_bearers, capacity=MAX_BEARERS_PER_QUERY, max_concurrent=MAX_QUERIES_AT_ONCE
        )

    async def authorize(
        self, bearer_text: str | None, request: AuthorizationRequest, *, session_text: str | None = None
    ) -> Grant:
        """Return the identity under which the gate admits the bearer, or without a bearer the browser session.

        Raises the refusal with the public text of the gate.
        """
        bearer = await self._recognize(bearer_text, session_text)
        credential_state, org_id = (
            await self._find_credential_state(request, bearer),
            await self._find_org(request, bearer),
        )
        grant = gates.check_gate(request, bearer, self._mode, credential_state=credential_state, org_id=org_id)
        if isinstance(bearer, WorkspaceBearer | OrgBearer):
            self._last_used.record_use(bearer.token_id)
        return grant

    async def _recognize(self, bearer_text: str | None, session_text: str | None) -> Bearer:
        if bearer_text is None:
            return Anonymous() if session_text is None else await self._recognize_session(session_text)
        digest = token_text.digest_token(bearer_text)
        if self._admin_digest is not None and hmac.compare_digest(digest, self._admin_digest):
            await self._require_database()
            return AdminBearer()
        if not token_text.is_well_formed(bearer_text):
            return UnknownBearer()
        return await self._lookups.submit(digest)

    async def _find_bearers(self, digests: Sequence[Digest]) -> Sequence[Bearer]:
        """Look up live tokens; `UnknownBearer` for each digest without one."""
        now = self._clock.now()
        async with self._store.reading() as tx:
            found: dict[Digest, Bearer] = dict(await tx.workspace_tokens.find_bearers(digests, now=now))
            if rest := [digest for digest in digests if digest not in found]:
                found |= await tx.org_tokens.find_bearers(rest, now=now)
        return [found.get(digest, UnknownBearer()) for digest in digests]

    async def _require_database(self) -> None:
        """Refuse ADMIN_TOKEN too if the database is unavailable, so that no request is served without it."""
        async with self._store.reading() as tx:
            await tx.ping()

    async def _recognize_session(self, text: str) -> Bearer:
        """Return the bearer that opened the session; `UnknownBearer` if it was an older ADMIN_TOKEN."""
        if not token_text.is_well_formed(text):
            return UnknownBearer()
        async with self._store.reading() as tx:
            session = await tx.sessions.find(token_text.digest_token(text), now=self._clock.now())
        if not isinstance(session, AdminSession):
            return session or UnknownBearer()
        if self._admin_digest is None:
            return UnknownBearer()
        if not hmac.compare_digest(session.mac, token_text.compute_session_mac(text, self._admin_digest)):
            return UnknownBearer()
        return AdminBearer(session.expires_at)

    async def _find_credential_state(self, request: AuthorizationRequest, bearer: Bearer) -> CredentialState | None:
        """Return what the gate needs to know. The workspace's own live token proves it without a query."""
        if not gates.needs_credential_state(request.gate, bearer, self._mode):
            return None
        if isinstance(bearer, WorkspaceBearer) and bearer.workspace_id == request.workspace_id:
            return CredentialState.HAS_LIVE_TOKEN
        async with self._store.reading() as tx:
            return await tx.placements.find_credential_state(request.workspace_id, now=self._clock.now())

    async def _find_org(self, request: AuthorizationRequest, bearer: Bearer) -> str | None:
        """Return the organisation of the workspace if the gate needs it and the workspace is known."""
        if request.workspace_id is None or not gates.needs_org(request, bearer):
            return None
        async with self._store.reading() as tx:
            placement = await tx.placements.find(request.workspace_id)
        return placement.org_id if placement else None
