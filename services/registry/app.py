"""Builds the registry: its parts, servicers and background loops."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias
from uuid import uuid4

from protos.registry.v1 import (
    approvals_pb2,
    approvals_pb2_grpc,
    budgets_pb2,
    budgets_pb2_grpc,
    bundles_pb2,
    bundles_pb2_grpc,
    catalog_pb2,
    catalog_pb2_grpc,
    checkpoints_pb2,
    checkpoints_pb2_grpc,
    configs_pb2,
    configs_pb2_grpc,
    entries_pb2,
    entries_pb2_grpc,
    events_pb2,
    events_pb2_grpc,
    instructions_pb2,
    instructions_pb2_grpc,
    lifecycle_pb2,
    lifecycle_pb2_grpc,
    memories_pb2,
    memories_pb2_grpc,
    models_pb2,
    models_pb2_grpc,
    provisioning_pb2,
    provisioning_pb2_grpc,
    search_pb2,
    search_pb2_grpc,
    templates_pb2,
    templates_pb2_grpc,
)
from protos.registry.v1 import registry_pb2 as pb
from protos.registry.v1 import registry_pb2_grpc as rpc
from services.chassis import clients, database
from services.chassis.clock import Clock, SystemClock
from services.chassis.database import AdvisoryLock, NotificationListener
from services.chassis.service import Components, Loop, Service, Servicer
from services.registry import catalog
from services.registry.api.budgets import BudgetServicer
from services.registry.api.bundles import BundleServicer
from services.registry.api.catalog import CatalogServicer
from services.registry.api.events import EventServicer
from services.registry.api.lifecycle import LifecycleServicer
from services.registry.api.models import ModelServicer
from services.registry.api.provisioning import ProvisioningServicer
from services.registry.api.search import SearchServicer
from services.registry.api.templates import TemplateServicer
from services.registry.api.workspaces import RegistryServicer
from services.registry.card_keys import read_card_keys
from services.registry.clients import AuthClient
from services.registry.directory.budgets import Budgets
from services.registry.directory.cards import CardService
from services.registry.directory.creation import WorkspaceCreator
from services.registry.directory.discovery import Discovery
from services.registry.directory.model_choice import ModelChoice
from services.registry.directory.queries import WorkspaceQueries
from services.registry.directory.search import WorkspaceSearch
from services.registry.directory.updates import WorkspaceUpdater
from services.registry.feeds.broadcasts import Broadcasts
from services.registry.feeds.event_log import EventLog
from services.registry.feeds.relayed_events import RelayedEvents
from services.registry.feeds.subscriptions import EventSubscriptions
from services.registry.feeds.workspace_feed import WorkspaceFeed
from services.registry.lifecycle.address_check import AddressChecker
from services.registry.lifecycle.hearing import HearingRecorder
from services.registry.lifecycle.heartbeats import HeartbeatBatcher, HeartbeatService
from services.registry.lifecycle.idleness import IdlenessService
from services.registry.lifecycle.observations import ObservationService
from services.registry.lifecycle.pausing import PausingService
from services.registry.lifecycle.provisioning import ProvisioningService
from services.registry.lifecycle.registration import RegistrationService
from services.registry.lifecycle.removal import RemovalService
from services.registry.lifecycle.renewal import RenewalService
from services.registry.lifecycle.restarts import RestartService, TemplateChooser
from services.registry.lifecycle.secret_rollout import SecretRollout
from services.registry.lifecycle.sweeps import Sweeps
from services.registry.notes.approvals.api import ApprovalServicer
from services.registry.notes.approvals.service import Approvals
from services.registry.notes.checkpoints.api import CheckpointServicer
from services.registry.notes.checkpoints.service import Checkpoints
from services.registry.notes.configs.api import ConfigServicer
from services.registry.notes.configs.service import Configs
from services.registry.notes.entries.api import EntryServicer
from services.registry.notes.entries.service import Entries
from services.registry.notes.instructions.api import InstructionServicer
from services.registry.notes.instructions.service import Instructions
from services.registry.notes.memories.api import MemoryServicer
from services.registry.notes.memories.service import Memories
from services.registry.notes.purge import delete_notes
from services.registry.organisations.bundles import Bundles
from services.registry.organisations.org_folders import OrgTemplateFolders
from services.registry.organisations.org_import import OrgImporter
from services.registry.organisations.teams import Teams
from services.registry.settings import Settings
from services.registry.store.tables.schema import META, REVISION_CHANNEL
from services.registry.store.transaction import Store
from services.registry.templates.folders import (
    TemplateFolders,
    load_adapters,
    load_commands,
    load_runtime_provision_timeouts,
)
from services.registry.workspace.facts import LivenessTimeouts
from services.registry.workspace.quotas import Quotas

NAME = "registry"

PeriodicTasks: TypeAlias = dict[str, tuple[Callable[[], Awaitable[None]], timedelta]]
"""Functions that run periodically and their intervals, by name."""


@asynccontextmanager
async def assemble(settings: Settings) -> AsyncIterator[Components]:
    """Build all parts and yield the servicers and loops to run."""
    clock = SystemClock()
    declared = await asyncio.to_thread(load_runtime_provision_timeouts, settings.configs_dir)
    adapters = await asyncio.to_thread(load_adapters, settings.configs_dir)
    commands = await asyncio.to_thread(load_commands, settings.configs_dir)
    card_keys = await asyncio.to_thread(read_card_keys, settings.agent_card_keys)
    known = catalog.read_catalog(
        limit=settings.provision_timeout, declared=declared, adapters=adapters, commands=commands
    )
    url, role = settings.database_url.get_secret_value(), service.build_role(settings.role_prefix)
    async with (
        database.open_engine(url, role=role, pool=settings.database_pool_size) as engine,
        clients.open_channel(
            settings.auth_targets, caller_service=NAME, service="auth", tls=settings.tls
        ) as auth_channel,
    ):
        store = Store(engine, clock)
        auth = AuthClient(auth_channel)
        quotas = Quotas(
            workspaces=settings.max_workspaces,
            workspaces_per_org=settings.max_workspaces_per_org,
            running=settings.max_running,
            running_per_org=settings.max_running_per_org,
        )
        address_checker = AddressChecker(
            settings.address_rules, plane_urls=(settings.platform_url, settings.external_platform_url)
        )
        listener = NotificationListener(url, role=role, channel=REVISION_CHANNEL)
        feed = WorkspaceFeed(store, listener, replica_id=str(uuid4()))
        templates = TemplateFolders(settings.configs_dir)
        folders = OrgTemplateFolders(settings.org_templates_dir)
        creator = WorkspaceCreator(
            store,
            auth=auth,
            catalog=known,
            templates=templates,
            address_checker=address_checker,
            limits=quotas,
            clock=clock,
        )
        queries = WorkspaceQueries(store)
        updater = WorkspaceUpdater(store, auth=auth, catalog=known)
        timeouts = LivenessTimeouts(managed=settings.liveness_timeout, external=settings.remote_liveness_timeout)
        broadcasts = Broadcasts()
        event_log = EventLog(store, feed)
        renewal = RenewalService(catalog=known, limits=quotas, clock=clock)
        observations = ObservationService(store, renewal=renewal)
        heartbeats = HeartbeatService(
            store, feed, broadcasts, HeartbeatBatcher(store, timeouts=timeouts), card_keys=card_keys
        )
        template_chooser = TemplateChooser(templates, TemplateFolders(settings.org_templates_dir))
        restarts = RestartService(store, renewal=renewal, template_chooser=template_chooser, clock=clock)
        pausing = PausingService(store, feed, observations=observations, renewal=renewal, catalog=known, clock=clock)
        removal = RemovalService(store, feed, auth=auth, clock=clock, purge_steps=[delete_notes])
        sweeps = Sweeps(
            store,
            observations=observations,
            removal=removal,
            auth=auth,
            clock=clock,
            timeouts=timeouts,
            event_retention=settings.event_retention,
            max_events=settings.max_events,
        )
        idle = IdlenessService(store, clock=clock)
        note_servicers, note_tasks = _build_notes(store, clock, keep=settings.event_retention)
        secret_rollout = SecretRollout(store, auth=auth, renewal=renewal)
        hearing = HearingRecorder(store, event_log=event_log, auth=auth, clock=clock)
        servicer = RegistryServicer(
            creator=creator,
            queries=queries,
            updater=updater,
            registration=RegistrationService(
                store, auth=auth, address_checker=address_checker, clock=clock, card_keys=card_keys
            ),
            heartbeats=heartbeats,
            observations=observations,
            cards=CardService(store, card_keys=card_keys),
            removal=removal,
            discovery=Discovery(store, address_checker=address_checker),
            feed=feed,
            catalog=known,
            clock=clock,
        )
        yield Components(
            probes=[feed.find_trouble],
            servicers=[
                Servicer(
                    contract=pb.DESCRIPTOR.services_by_name["RegistryService"],
                    add=rpc.add_RegistryServiceServicer_to_server,
                    servicer=servicer,
                ),
                Servicer(
                    contract=search_pb2.DESCRIPTOR.services_by_name["SearchService"],
                    add=search_pb2_grpc.add_SearchServiceServicer_to_server,
                    servicer=SearchServicer(WorkspaceSearch(store)),
                ),
                Servicer(
                    contract=lifecycle_pb2.DESCRIPTOR.services_by_name["LifecycleService"],
                    add=lifecycle_pb2_grpc.add_LifecycleServiceServicer_to_server,
                    servicer=LifecycleServicer(pausing, restarts, idle, clock=clock),
                ),
                Servicer(
                    contract=provisioning_pb2.DESCRIPTOR.services_by_name["ProvisioningService"],
                    add=provisioning_pb2_grpc.add_ProvisioningServiceServicer_to_server,
                    servicer=ProvisioningServicer(ProvisioningService(store, clock)),
                ),
                Servicer(
                    contract=events_pb2.DESCRIPTOR.services_by_name["EventService"],
                    add=events_pb2_grpc.add_EventServiceServicer_to_server,
                    servicer=EventServicer(
                        event_log=event_log,
                        broadcasts=broadcasts,
                        subscriptions=EventSubscriptions(store),
                        relayed_events=RelayedEvents(store),
                    ),
                ),
                Servicer(
                    contract=templates_pb2.DESCRIPTOR.services_by_name["TemplateService"],
                    add=templates_pb2_grpc.add_TemplateServiceServicer_to_server,
                    servicer=TemplateServicer(
                        templates=templates,
                        folders=folders,
                        orgs=OrgImporter(folders, templates=templates, creator=creator, auth=auth),
                        teams=Teams(store, creator=creator, removal=removal, auth=auth, clock=clock),
                        queries=queries,
                    ),
                ),
                Servicer(
                    contract=bundles_pb2.DESCRIPTOR.services_by_name["BundleService"],
                    add=bundles_pb2_grpc.add_BundleServiceServicer_to_server,
                    servicer=BundleServicer(Bundles(store, creator=creator)),
                ),
                *note_servicers,
                Servicer(
                    contract=catalog_pb2.DESCRIPTOR.services_by_name["CatalogService"],
                    add=catalog_pb2_grpc.add_CatalogServiceServicer_to_server,
                    servicer=CatalogServicer(known),
                ),
                Servicer(
                    contract=models_pb2.DESCRIPTOR.services_by_name["ModelService"],
                    add=models_pb2_grpc.add_ModelServiceServicer_to_server,
                    servicer=ModelServicer(ModelChoice(store, catalog=known, renewal=renewal)),
                ),
                Servicer(
                    contract=budgets_pb2.DESCRIPTOR.services_by_name["BudgetService"],
                    add=budgets_pb2_grpc.add_BudgetServiceServicer_to_server,
                    servicer=BudgetServicer(Budgets(store)),
                ),
            ],
            loops=[
                Loop(name="notifications", run=listener.listen),
                Loop(name="feed", run=feed.run),
                Loop(name="event_log", run=event_log.run),
                Loop(name="heartbeat_reception", run=hearing.record, every=timedelta(seconds=5)),
                *_build_loops(_list_sweeps(sweeps, idle) | note_tasks, url, role=role),
                Loop(
                    name="secret_rollout",
                    run=secret_rollout.follow,
                    lock=AdvisoryLock(url, role=role, name="registry.turnover"),
                ),
            ],
        )


def _build_notes(store: Store, clock: Clock, *, keep: timedelta) -> tuple[list[Servicer], PeriodicTasks]:
    """Return the servicers of the notes, and the functions that expire them."""
    approvals, entries = Approvals(store, clock=clock, retention=keep), Entries(store, clock=clock)

    async def tidy() -> None:
        await entries.delete_expired()
        await approvals.delete_old()

    servicers = [
        Servicer(
            contract=memories_pb2.DESCRIPTOR.services_by_name["MemoryService"],
            add=memories_pb2_grpc.add_MemoryServiceServicer_to_server,
            servicer=MemoryServicer(Memories(store, clock=clock)),
        ),
        Servicer(
            contract=entries_pb2.DESCRIPTOR.services_by_name["EntryService"],
            add=entries_pb2_grpc.add_EntryServiceServicer_to_server,
            servicer=EntryServicer(entries),
        ),
        Servicer(
            contract=approvals_pb2.DESCRIPTOR.services_by_name["ApprovalService"],
            add=approvals_pb2_grpc.add_ApprovalServiceServicer_to_server,
            servicer=ApprovalServicer(approvals, clock=clock),
        ),
        Servicer(
            contract=instructions_pb2.DESCRIPTOR.services_by_name["InstructionService"],
            add=instructions_pb2_grpc.add_InstructionServiceServicer_to_server,
            servicer=InstructionServicer(Instructions(store, clock=clock)),
        ),
        Servicer(
            contract=checkpoints_pb2.DESCRIPTOR.services_by_name["CheckpointService"],
            add=checkpoints_pb2_grpc.add_CheckpointServiceServicer_to_server,
            servicer=CheckpointServicer(Checkpoints(store), clock=clock),
        ),
        Servicer(
            contract=configs_pb2.DESCRIPTOR.services_by_name["ConfigService"],
            add=configs_pb2_grpc.add_ConfigServiceServicer_to_server,
            servicer=ConfigServicer(Configs(store)),
        ),
    ]
    return servicers, {
        "approvals": (approvals.deny_expired, timedelta(seconds=5)),
        "notes": (tidy, timedelta(minutes=1)),
    }


def _list_sweeps(sweeps: Sweeps, idle: IdlenessService) -> PeriodicTasks:
    """Return the sweeps by the names that /admin/liveness publishes; replicas lock the same names."""
    return {
        "missed_heartbeats": (sweeps.check_heartbeats, timedelta(seconds=5)),
        "failed_starts": (sweeps.fail_unstarted, timedelta(seconds=5)),
        "idle_workspaces": (idle.find_idle, timedelta(seconds=10)),
        "placements": (sweeps.confirm_placements, timedelta(seconds=5)),
        "removals": (sweeps.finish_removals, timedelta(seconds=15)),
        "audit_records": (sweeps.send_audit_records, timedelta(seconds=1)),
        "old_records": (sweeps.delete_old_records, timedelta(minutes=10)),
    }


def _build_loops(tasks: PeriodicTasks, url: str, *, role: str) -> list[Loop]:
    """Return a loop for each task; it runs in one replica at a time."""
    return [
        Loop(
            name=name,
            run=run,
            every=every,
            lock=AdvisoryLock(url, role=role, name=f"registry.{name}"),
        )
        for name, (run, every) in tasks.items()
    ]


service = Service(
    name=NAME,
    settings=Settings,
    assemble=assemble,
    schema=META.schema,
    migrations=Path(__file__).parent / "migrations",
)
