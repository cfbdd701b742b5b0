"""Auth on a real PostgreSQL, in either mode."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.auth import tokens
from services.auth.app import ROLE, service
from services.auth.audit import AuditLog
from services.auth.chain import ChainKey
from services.auth.feed import RevocationFeed
from services.auth.inbound import InboundSecrets
from services.auth.keyring import Keyring
from services.auth.model import AccessMode, OrgMembership, WorkspaceId
from services.auth.sealing import Sealer
from services.auth.store.keys import CHANNEL, Store
from services.auth.usage import LastUsedRecorder
from services.chassis import identity
from services.chassis.database import NotificationListener
from tests import databases
from tests.clocks import StillClock

ADMIN_TOKEN = "the operator's own"
SEALING_KEY = "k" * 32


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    async with databases.fresh(database_url, service) as engine:
        yield engine


@pytest.fixture
def store(engine: AsyncEngine) -> Store:
    return Store(engine)


@pytest.fixture
def usage(store: Store, clock: StillClock) -> LastUsedRecorder:
    return LastUsedRecorder(store, clock)


@pytest.fixture
def inbound() -> InboundSecrets:
    return InboundSecrets(Sealer.parse(SEALING_KEY))


@pytest.fixture
def audit(store: Store, clock: StillClock) -> AuditLog:
    return AuditLog(store, clock=clock, key=ChainKey(), caller=lambda: identity.service_identity("provisioner"))


@pytest.fixture
def keyring_in(
    store: Store, audit: AuditLog, usage: LastUsedRecorder, inbound: InboundSecrets, clock: StillClock
) -> Callable[[AccessMode], Keyring]:
    def keyring(mode: AccessMode) -> Keyring:
        operator = tokens.digest_token(ADMIN_TOKEN) if mode is AccessMode.CLOSED else None
        return Keyring(store, audit=audit, inbound=inbound, usage=usage, clock=clock, mode=mode, operator=operator)

    return keyring


@pytest.fixture
def keyring(keyring_in: Callable[[AccessMode], Keyring]) -> Keyring:
    return keyring_in(AccessMode.CLOSED)


@pytest.fixture
def feed(store: Store, database_url: str) -> RevocationFeed:
    """A feed whose reader is turned by hand; its bell never rings."""
    return RevocationFeed(store, SilentListener(database_url, role=ROLE, channel=CHANNEL))


@pytest.fixture
async def home(keyring: Keyring) -> OrgMembership:
    """A workspace that auth knows, with no token yet."""
    home = OrgMembership(WorkspaceId(str(uuid4())), str(uuid4()))
    await keyring.confirm([home])
    return home


@pytest.fixture
def workspace(home: OrgMembership) -> WorkspaceId:
    return home.workspace_id


class SilentListener(NotificationListener):
    """Never rings, and does not keep its reader waiting either."""

    async def wait(self, within: timedelta) -> bool:
        return False
