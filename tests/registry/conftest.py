"""Fixtures: the parts of the registry on a real PostgreSQL, with a fake auth over gRPC and a still clock."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from services.chassis.addresses import AddressRules
from services.chassis.database import NotificationListener
from services.chassis.identity import Identity, Kind
from services.registry import catalog
from services.registry.app import service
from services.registry.clients import AuthClient
from services.registry.directory.cards import CardService
from services.registry.directory.creation import WorkspaceCreator
from services.registry.directory.discovery import Discovery
from services.registry.directory.queries import WorkspaceQueries
from services.registry.directory.updates import WorkspaceUpdater
from services.registry.feeds.broadcasts import Broadcasts
from services.registry.feeds.event_log import EventLog
from services.registry.feeds.subscriptions import EventSubscriptions
from services.registry.feeds.workspace_feed import WorkspaceFeed
from services.registry.lifecycle.address_check import AddressChecker
from services.registry.lifecycle.heartbeats import HeartbeatBatcher, HeartbeatService
from services.registry.lifecycle.idleness import IdlenessService
from services.registry.lifecycle.observations import ObservationService
from services.registry.lifecycle.pausing import PausingService
from services.registry.lifecycle.registration import RegistrationRequest, RegistrationService
from services.registry.lifecycle.removal import RemovalService
from services.registry.lifecycle.renewal import RenewalService
from services.registry.lifecycle.restarts import RestartService, TemplateChooser
from services.registry.lifecycle.sweeps import Sweeps
from services.registry.notes.purge import delete_notes
from services.registry.store.tables.schema import REVISION_CHANNEL
from services.registry.store.transaction import Store
from services.registry.templates.folders import TemplateFolders
from services.registry.workspace.facts import HeartbeatReceived, InstanceStarted, LivenessTimeouts
from services.registry.workspace.quotas import Quotas
from services.registry.workspace.validation import WorkspaceDraft
from tests import databases
from tests.clocks import StillClock
from tests.registry.fake_auth import FakeAuth, serve_auth
from tests.registry.strategies import ALWAYS_HEARING
from tests.rpc import open_channel_to

MISSING_DIRECTORY = Path("/nowhere")
DEVELOPMENT_RULES = AddressRules(development=True)
ADMIN = Identity(kind=Kind.ADMIN)
ANONYMOUS = Identity(kind=Kind.ANONYMOUS)
CARD = b'{"name": "lead"}'
TIMEOUTS = LivenessTimeouts(managed=timedelta(seconds=180), external=timedelta(seconds=90))


def agent(workspace_id: str, generation: int | None = None) -> Identity:
    return Identity(kind=Kind.WORKSPACE, name=workspace_id, generation=generation)


def org(org_id: str, *scopes: str) -> Identity:
    return Identity(kind=Kind.ORG, name="token", org_id=org_id, scopes=frozenset(scopes))


async def send_heartbeat(registry, workspace, generation=None, **fields):
    """Receive a heartbeat of an agent whose token has the given generation; by default the current one."""
    caller = agent(workspace.id, generation or workspace.generation or None)
    return await registry.heartbeat(caller, workspace.id, HeartbeatReceived(at=registry.clock.now(), **fields))


async def overwrite(registry, workspace, **values):
    """Save a workspace with other values, as if its history had been another."""
    async with registry.store.begin() as tx:
        before = await tx.get(workspace.id, lock=True)
        tx.save(replace(before, **values))
    return await registry.get(workspace.id)


@dataclass
class RegistryParts:
    """All parts of the registry, without its loops."""

    store: Store
    feed: WorkspaceFeed
    broadcasts: Broadcasts
    event_log: EventLog
    subscriptions: EventSubscriptions
    listener: NotificationListener
    creator: WorkspaceCreator
    queries: WorkspaceQueries
    updater: WorkspaceUpdater
    registration: RegistrationService
    heartbeats: HeartbeatService
    batcher: HeartbeatBatcher
    observations: ObservationService
    restarts: RestartService
    cards: CardService
    pausing: PausingService
    renewal: RenewalService
    removal: RemovalService
    discovery: Discovery
    sweeps: Sweeps
    idleness: IdlenessService
    auth: FakeAuth
    clock: StillClock

    async def create(self, name="ada", *, caller=ADMIN, **fields):
        made = await self.creator.create(
            caller, "", WorkspaceDraft(name=name, runtime=fields.pop("runtime", "echo"), **fields)
        )
        return made.workspace

    async def started(self, name="ada", *, backend="process", **fields):
        """Create a managed workspace whose instance a backend has started."""
        workspace = await self.create(name, **fields)
        now, _ = await self.observations.observe(
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

    async def online(self, name="ada", **fields):
        workspace = await self.started(name, **fields)
        return await self.register(workspace)

    async def register(self, workspace, *, card=CARD, url="http://127.0.0.1:9", **fields):
        caller = agent(workspace.id, workspace.generation or None)
        await self.registration.register(caller, workspace.id, RegistrationRequest(card=card, url=url, **fields))
        return await self.get(workspace.id)

    async def heartbeat(self, caller, workspace_id, fact):
        """Receive a heartbeat of the instance whose token the caller has."""
        return await self.heartbeats.receive(workspace_id, replace(fact, generation=caller.generation))

    async def get(self, workspace_id):
        async with self.store.begin() as tx:
            return await tx.get(workspace_id)

    async def events(self, workspace_id=""):
        """Return the events, oldest first."""
        found = await self.queries.events(ADMIN, workspace_id=workspace_id, after=0, size=500)
        return list(found)

    async def watched(self, backend="process"):
        """Connect a provisioner."""
        async with self.store.begin() as tx:
            await tx.revisions.record_watcher("replica", backend)

    @asynccontextmanager
    async def following(self):
        """Run the feeds for the length of the block."""
        loops = (self.listener.listen(), self.feed.run(), self.event_log.run())
        tasks = [asyncio.ensure_future(loop) for loop in loops]
        try:
            yield self.feed
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


ENOUGH = Quotas(running=10_000, running_per_org=10_000)
"""Quotas that no other test reaches."""


@pytest.fixture
def auth():
    return FakeAuth()


@pytest.fixture
async def engine(database_url):
    async with databases.open_empty_database(database_url, service) as engine:
        async with Store(engine, StillClock()).begin() as tx:
            await tx.hearing.save(ALWAYS_HEARING)
        yield engine


@pytest.fixture
async def registry(engine, database_url, auth, clock):
    async with open_channel_to([serve_auth(auth)], caller_service="registry") as line:
        registry = build_parts(engine, database_url, auth, line, clock)
        yield registry


def build_parts(
    engine,
    database_url,
    auth,
    line,
    clock,
    *,
    rules=DEVELOPMENT_RULES,
    configs=MISSING_DIRECTORY,
    org_dirs=MISSING_DIRECTORY,
    limits=ENOUGH,
    max_events=1_000_000,
):
    store = Store(engine, clock)
    listener = NotificationListener(database_url, role=service.build_role(), channel=REVISION_CHANNEL)
    feed = WorkspaceFeed(store, listener, replica_id="replica")
    batcher = HeartbeatBatcher(store, timeouts=TIMEOUTS)
    client, known, address_checker = AuthClient(line), catalog.read_catalog(), AddressChecker(rules)
    broadcasts = Broadcasts()
    template_chooser = TemplateChooser(TemplateFolders(configs), TemplateFolders(org_dirs))
    renewal = RenewalService(catalog=known, limits=limits, clock=clock)
    observations = ObservationService(store, renewal=renewal)
    removal = RemovalService(
        store, feed, auth=client, clock=clock, purge_steps=[delete_notes], stop_timeout=timedelta(seconds=5)
    )
    return RegistryParts(
        store=store,
        feed=feed,
        broadcasts=broadcasts,
        event_log=EventLog(store, feed),
        subscriptions=EventSubscriptions(store),
        listener=listener,
        creator=WorkspaceCreator(
            store,
            auth=client,
            catalog=known,
            templates=TemplateFolders(configs),
            address_checker=address_checker,
            limits=limits,
            clock=clock,
        ),
        queries=WorkspaceQueries(store),
        updater=WorkspaceUpdater(store, auth=client, catalog=known),
        registration=RegistrationService(store, auth=client, address_checker=address_checker, clock=clock),
        heartbeats=HeartbeatService(store, feed, broadcasts, batcher),
        batcher=batcher,
        observations=observations,
        restarts=RestartService(store, renewal=renewal, template_chooser=template_chooser, clock=clock),
        cards=CardService(store),
        pausing=PausingService(
            store,
            feed,
            observations=observations,
            renewal=renewal,
            catalog=known,
            clock=clock,
            stop_timeout=timedelta(seconds=5),
        ),
        renewal=renewal,
        removal=removal,
        discovery=Discovery(store, address_checker=address_checker),
        sweeps=Sweeps(
            store,
            observations=observations,
            removal=removal,
            auth=client,
            clock=clock,
            timeouts=TIMEOUTS,
            event_retention=timedelta(days=30),
            max_events=max_events,
        ),
        idleness=IdlenessService(store, clock=clock),
        auth=auth,
        clock=clock,
    )
