"""Auth on a real PostgreSQL, with closed gates and in open development."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from services.auth.app import service
from services.auth.audit_log import AuditLog
from services.auth.authorization import Authorizer
from services.auth.errors import InvalidBearer
from services.auth.feeds.revocations import RevocationFeed
from services.auth.model.authorization import AccessMode, AuthorizationRequest, Gate
from services.auth.model.placements import OrgMembership, WorkspaceId
from services.auth.model.revocations import RevocationTarget
from services.auth.placements import Placements
from services.auth.rules.hash_chain import ChainKey
from services.auth.rules.token_text import digest_token
from services.auth.store.revocations import REVOCATIONS_CHANNEL
from services.auth.store.transaction import Store
from services.auth.tokens.credentials import CredentialService
from services.auth.tokens.last_used import LastUsedRecorder
from services.auth.vault.inbound_secrets import InboundSecrets
from services.auth.vault.sealing import Sealer
from services.chassis import database, identity
from services.chassis.database import NotificationListener
from tests import databases
from tests.clocks import StillClock

ADMIN_TOKEN = "the operator's own"
SEALING_KEY = "k" * 32

UNKNOWN_WORKSPACE = WorkspaceId("00000000-0000-0000-0000-000000000000")

RACE_ROUNDS = range(50)
"""How often a race is repeated."""


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    async with databases.open_empty_database(database_url, service) as engine:
        yield engine


@pytest.fixture
def store(engine: AsyncEngine) -> Store:
    return Store(engine)


@pytest.fixture
def last_used(store: Store, clock: StillClock) -> LastUsedRecorder:
    return LastUsedRecorder(store, clock)


@pytest.fixture
def inbound_secrets() -> InboundSecrets:
    return InboundSecrets(Sealer.parse(SEALING_KEY))


@pytest.fixture
def audit_log(store: Store, clock: StillClock) -> AuditLog:
    return AuditLog(store, clock=clock, key=ChainKey(), caller=lambda: identity.service_identity("provisioner"))


@pytest.fixture
def placements(store: Store, clock: StillClock) -> Placements:
    return Placements(store, clock=clock)


@pytest.fixture
def credential_service(
    store: Store, audit_log: AuditLog, inbound_secrets: InboundSecrets, clock: StillClock
) -> CredentialService:
    return CredentialService(store, audit_log=audit_log, inbound_secrets=inbound_secrets, clock=clock)


@pytest.fixture
def authorizer(store: Store, last_used: LastUsedRecorder, clock: StillClock) -> Authorizer:
    return Authorizer(
        store, last_used=last_used, clock=clock, mode=AccessMode.CLOSED, admin_digest=digest_token(ADMIN_TOKEN)
    )


@pytest.fixture
def open_authorizer(store: Store, last_used: LastUsedRecorder, clock: StillClock) -> Authorizer:
    """Open development: no ADMIN_TOKEN."""
    return Authorizer(store, last_used=last_used, clock=clock, mode=AccessMode.OPEN, admin_digest=None)


@pytest.fixture
def feed(store: Store, database_url: str) -> RevocationFeed:
    """A revocation feed that the test polls."""
    return RevocationFeed(store, SilentListener(database_url, role=service.build_role(), channel=REVOCATIONS_CHANNEL))


@pytest.fixture
async def membership(placements: Placements) -> OrgMembership:
    """A confirmed workspace without a token."""
    membership = new_membership()
    await placements.confirm([membership])
    return membership


@pytest.fixture
def workspace(membership: OrgMembership) -> WorkspaceId:
    return membership.workspace_id


@pytest.fixture
def published(store: Store) -> Callable[[], Awaitable[Sequence[RevocationTarget]]]:
    """Returns the targets of all revocations, in order."""

    async def list_targets() -> Sequence[RevocationTarget]:
        async with store.reading() as tx:
            return [revocation.target for revocation in await tx.revocations.list_after(0, limit=10_000)]

    return list_targets


@pytest.fixture
def is_admitted(authorizer: Authorizer) -> Callable[..., Awaitable[bool]]:
    """Returns whether a gate for a workspace admits a bearer that claims to be this workspace."""

    async def ask(bearer: str, workspace_id: WorkspaceId, gate: Gate = Gate.WORKSPACE) -> bool:
        request = AuthorizationRequest(gate=gate, workspace_id=workspace_id, claimed_workspace_id=workspace_id)
        try:
            await authorizer.authorize(bearer, request)
        except InvalidBearer:
            return False
        return True

    return ask


@pytest.fixture
def fetch_rows(engine: AsyncEngine) -> Callable[[sa.Executable], Awaitable[Sequence[Any]]]:
    """Returns the rows of a query."""

    async def fetch(query: sa.Executable) -> Sequence[Any]:
        async with database.transaction(engine) as connection:
            return (await connection.execute(query)).all()

    return fetch


def new_membership() -> OrgMembership:
    """A workspace that auth does not know yet."""
    return OrgMembership(WorkspaceId(str(uuid4())), str(uuid4()))


class SilentListener(NotificationListener):
    """Receives no notification and does not wait for one."""

    async def wait(self, within: timedelta) -> bool:
        return False
