"""The registry's parts on a real PostgreSQL, with auth behind real gRPC and a clock that stands still."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from services.chassis.addresses import AddressRules
from services.chassis.database import NotificationListener
from services.chassis.identity import Identity, Kind
from services.registry import catalog
from services.registry.app import ROLE, service
from services.registry.clients import Auth
from services.registry.directory.creation import WorkspaceCreator
from services.registry.directory.discovery import Discovery
from services.registry.directory.queries import WorkspaceQueries
from services.registry.directory.updates import WorkspaceUpdater
from services.registry.feeds.broadcasts import Broadcasts
from services.registry.feeds.event_log import EventLog
from services.registry.feeds.subscriptions import EventSubscriptions
from services.registry.feeds.workspace_feed import WorkspaceFeed
from services.registry.lifecycle.address_check import Addressing
from services.registry.lifecycle.heartbeats import Intake
from services.registry.lifecycle.observations import Presence
from services.registry.lifecycle.registration import Door, Registration
from services.registry.lifecycle.removal import Removal
from services.registry.lifecycle.restarts import Refits
from services.registry.lifecycle.sweeps import Sweeps
from services.registry.notes.purge import delete_notes
from services.registry.store.tables.schema import DOORBELL
from services.registry.store.transaction import Store
from services.registry.templates.folders import TemplateFolders
from services.registry.workspace.facts import InstanceStarted, Patience
from services.registry.workspace.validation import Draft
from tests import databases
from tests.clocks import StillClock
from tests.registry.neighbours import WillingAuth, served
from tests.rpc import running

NOWHERE = Path("/nowhere")
AT_HOME = AddressRules(development=True)
ADMIN = Identity(kind=Kind.ADMIN)
ANYBODY = Identity(kind=Kind.ANONYMOUS)
CARD = b'{"name": "lead"}'
PATIENCE = Patience(managed=timedelta(seconds=180), external=timedelta(seconds=90))


def agent(workspace_id: str, generation: int | None = None) -> Identity:
    return Identity(kind=Kind.WORKSPACE, name=workspace_id, generation=generation)


def org(org_id: str, *scopes: str) -> Identity:
    return Identity(kind=Kind.ORG, name="token", org_id=org_id, scopes=frozenset(scopes))


@dataclass
class Book:
    """Everything the registry is made of, without its loops."""

    store: Store
    feed: WorkspaceFeed
    broadcasts: Broadcasts
    event_log: EventLog
    subscriptions: EventSubscriptions
    intake: Intake
    bell: NotificationListener
    creator: WorkspaceCreator
    queries: WorkspaceQueries
    updater: WorkspaceUpdater
    door: Door
    presence: Presence
    removal: Removal
    discovery: Discovery
    sweeps: Sweeps
    auth: WillingAuth
    clock: StillClock

    async def create(self, name="ada", *, caller=ADMIN, **said):
        made = await self.creator.create(caller, "", Draft(name=name, runtime=said.pop("runtime", "echo"), **said))
        return made.workspace

    async def started(self, name="ada", *, backend="process", **said):
        """A managed workspace whose instance a backend has started."""
        workspace = await self.create(name, **said)
        now, _ = await self.presence.observe(
            workspace.id,
            InstanceStarted(
                at=self.clock.now(),
                generation=workspace.generation,
                backend=backend,
                address="http://127.0.0.1:9",
                reference="ref",
            ),
        )
        return now

    async def online(self, name="ada", **said):
        workspace = await self.started(name, **said)
        return await self.register(workspace)

    async def register(self, workspace, *, card=CARD, url="http://127.0.0.1:9", **said):
        caller = agent(workspace.id, workspace.generation or None)
        await self.door.register(caller, workspace.id, Registration(card=card, url=url, **said))
        return await self.get(workspace.id)

    async def get(self, workspace_id):
        async with self.store.begin() as tx:
            return await tx.get(workspace_id)

    async def events(self, workspace_id=""):
        """Oldest first."""
        found = await self.queries.events(ADMIN, workspace_id=workspace_id, after=0, size=500)
        return list(found)

    async def watched(self, backend="process"):
        """A provisioner listens."""
        async with self.store.begin() as tx:
            await tx.changes.note_watcher("replica", backend)

    @asynccontextmanager
    async def following(self):
        """The feed runs for the length of the block."""
        loops = (self.bell.listen(), self.feed.run(), self.event_log.run())
        tasks = [asyncio.ensure_future(loop) for loop in loops]
        try:
            yield self.feed
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def auth():
    return WillingAuth()


@pytest.fixture
async def engine(database_url):
    async with databases.fresh(database_url, service) as engine:
        yield engine


@pytest.fixture
async def book(engine, database_url, auth, clock):
    async with running([served(auth)], caller_service="registry") as line:
        book = bound(engine, database_url, auth, line, clock)
        yield book


def bound(engine, database_url, auth, line, clock, *, rules=AT_HOME, configs=NOWHERE, org_dirs=NOWHERE):
    store = Store(engine, clock)
    bell = NotificationListener(database_url, role=ROLE, channel=DOORBELL)
    feed = WorkspaceFeed(store, bell, replica_id="replica")
    intake = Intake(store, patience=PATIENCE)
    asked, known, addressing = Auth(line), catalog.read_catalog(), Addressing(rules)
    broadcasts = Broadcasts()
    refits = Refits(TemplateFolders(configs), TemplateFolders(org_dirs))
    presence = Presence(store, feed, broadcasts, intake, refits=refits, catalog=known, clock=clock)
    removal = Removal(
        store, feed, auth=asked, clock=clock, purge_steps=[delete_notes], stop_within=timedelta(seconds=5)
    )
    return Book(
        store=store,
        feed=feed,
        broadcasts=broadcasts,
        event_log=EventLog(store, feed),
        subscriptions=EventSubscriptions(store),
        intake=intake,
        bell=bell,
        creator=WorkspaceCreator(
            store, auth=asked, catalog=known, templates=TemplateFolders(configs), addressing=addressing, clock=clock
        ),
        queries=WorkspaceQueries(store),
        updater=WorkspaceUpdater(store, auth=asked, catalog=known),
        door=Door(store, auth=asked, addressing=addressing, clock=clock),
        presence=presence,
        removal=removal,
        discovery=Discovery(store, addressing=addressing),
        sweeps=Sweeps(
            store,
            presence=presence,
            removal=removal,
            auth=asked,
            clock=clock,
            patience=PATIENCE,
            keep_events=timedelta(days=30),
        ),
        auth=auth,
        clock=clock,
    )
