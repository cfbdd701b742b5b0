"""Auth on a real PostgreSQL, in either mode."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.auth import tokens
from services.auth.app import ROLE, service
from services.auth.audit import Audit
from services.auth.chain import Key
from services.auth.feed import Feed
from services.auth.inbound import Inbound
from services.auth.keyring import Keyring
from services.auth.model import Home, Mode, WorkspaceId
from services.auth.sealing import Sealer
from services.auth.store.keys import CHANNEL, Store
from services.auth.usage import Usage
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
def usage(store: Store, clock: StillClock) -> Usage:
    return Usage(store, clock)


@pytest.fixture
def inbound() -> Inbound:
    return Inbound(Sealer.parse(SEALING_KEY))


@pytest.fixture
def audit(store: Store, clock: StillClock) -> Audit:
    return Audit(store, clock=clock, key=Key(), caller=lambda: identity.service_identity("provisioner"))


@pytest.fixture
def keyring_in(
    store: Store, audit: Audit, usage: Usage, inbound: Inbound, clock: StillClock
) -> Callable[[Mode], Keyring]:
    def keyring(mode: Mode) -> Keyring:
        operator = tokens.digest(ADMIN_TOKEN) if mode is Mode.CLOSED else None
        return Keyring(store, audit=audit, inbound=inbound, usage=usage, clock=clock, mode=mode, operator=operator)

    return keyring


@pytest.fixture
def keyring(keyring_in: Callable[[Mode], Keyring]) -> Keyring:
    return keyring_in(Mode.CLOSED)


@pytest.fixture
def feed(store: Store, database_url: str) -> Feed:
    """A feed whose reader is turned by hand; its bell never rings."""
    return Feed(store, SilentBell(database_url, role=ROLE, channel=CHANNEL))


@pytest.fixture
async def home(keyring: Keyring) -> Home:
    """A workspace that auth knows, with no token yet."""
    home = Home(WorkspaceId(str(uuid4())), str(uuid4()))
    await keyring.confirm([home])
    return home


@pytest.fixture
def workspace(home: Home) -> WorkspaceId:
    return home.workspace_id


class SilentBell(NotificationListener):
    """Never rings, and does not keep its reader waiting either."""

    async def rung(self, within: timedelta) -> bool:
        return False
