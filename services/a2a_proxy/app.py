"""Creates and connects the parts of the A2A proxy."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

from protos.a2a_proxy.v1 import (
    a2a_proxy_pb2,
    a2a_proxy_pb2_grpc,
    activity_pb2,
    activity_pb2_grpc,
    broadcasts_pb2,
    broadcasts_pb2_grpc,
    chat_files_pb2,
    chat_files_pb2_grpc,
    delegations_pb2,
    delegations_pb2_grpc,
    inbox_pb2,
    inbox_pb2_grpc,
    push_pb2,
    push_pb2_grpc,
    queue_pb2,
    queue_pb2_grpc,
    schedules_pb2,
    schedules_pb2_grpc,
)
from services.a2a_proxy.activity import ActivityLog
from services.a2a_proxy.activity_retention import ActivityRetention
from services.a2a_proxy.activity_search import ActivitySearches
from services.a2a_proxy.agent_client import MAX_ANSWER_BYTES, AgentClient
from services.a2a_proxy.agent_credentials import AgentCredentials
from services.a2a_proxy.api import A2aProxyServicer, ActivityServicer, BroadcastServicer
from services.a2a_proxy.body_budget import BodyBudgets
from services.a2a_proxy.broadcasts import BroadcastFanOut
from services.a2a_proxy.capacity import Capacity
from services.a2a_proxy.chat_files.api import ChatFileServicer
from services.a2a_proxy.chat_files.service import ChatFiles
from services.a2a_proxy.clients import AuthClient, ProvisionerClient, RegistryClient
from services.a2a_proxy.delegations.api import DelegationServicer
from services.a2a_proxy.delegations.follower import DelegationFollower
from services.a2a_proxy.delegations.service import Delegations
from services.a2a_proxy.delegations.store import DelegationStore
from services.a2a_proxy.delegations.upkeep import DUE_INTERVAL, DelegationUpkeep
from services.a2a_proxy.delivery import Delivery
from services.a2a_proxy.driver_connections import DriverConnections
from services.a2a_proxy.inbound_secrets import InboundSecrets
from services.a2a_proxy.outbound import OutboundTracker
from services.a2a_proxy.platform_messages.service import PlatformMessages
from services.a2a_proxy.push.api import PushServicer
from services.a2a_proxy.push.deliveries import PushDeliveries
from services.a2a_proxy.push.reception import PushReception
from services.a2a_proxy.push.relay import PushRelay
from services.a2a_proxy.push.retention import PushRetention
from services.a2a_proxy.push.store import PushStore
from services.a2a_proxy.push.task_reading import TaskReader
from services.a2a_proxy.queue.acceptance import MessageAcceptance
from services.a2a_proxy.queue.api import InboxServicer, QueueServicer
from services.a2a_proxy.queue.drain import Drain
from services.a2a_proxy.queue.inbox import Inbox
from services.a2a_proxy.queue.model import QueueLimits
from services.a2a_proxy.queue.monitor import QueueMonitor
from services.a2a_proxy.queue.operations import QueueOperations
from services.a2a_proxy.queue.queue_feed import QueueFeed
from services.a2a_proxy.queue.recent_ids import RecentIds
from services.a2a_proxy.queue.retention import QueueRetention
from services.a2a_proxy.queue.settlement import Settlement
from services.a2a_proxy.queue.store.connection import CHANNEL as QUEUE_CHANNEL
from services.a2a_proxy.queue.store.transaction import QueueStore
from services.a2a_proxy.queue.targets import QueueTargets, is_repeatable
from services.a2a_proxy.reports import Reports
from services.a2a_proxy.route_cache import RouteCache
from services.a2a_proxy.schedules.api import ScheduleServicer
from services.a2a_proxy.schedules.followers import WorkspaceFollower
from services.a2a_proxy.schedules.reported_load import ReportedLoad
from services.a2a_proxy.schedules.scheduler import Scheduler
from services.a2a_proxy.schedules.service import Schedules
from services.a2a_proxy.sending import Sender
from services.a2a_proxy.settings import Settings
from services.a2a_proxy.store import Store
from services.a2a_proxy.stored_events.relay import EventRelay
from services.a2a_proxy.streams.parts import build_stream_parts
from services.a2a_proxy.streams.retention import CLEANUP_INTERVAL
from services.a2a_proxy.streams.store import CONNECTION_SETTINGS, StreamStore
from services.a2a_proxy.streams.writer import ABANDONED_AGE, ALIVE_INTERVAL, MAX_STATEMENTS
from services.a2a_proxy.tables import SCHEMA
from services.a2a_proxy.tasks.access import TaskAccess
from services.a2a_proxy.tasks.agent_answers import AgentAnswers
from services.a2a_proxy.tasks.contexts import ContextRegister
from services.a2a_proxy.tasks.queued_tasks import QueuedTasks
from services.a2a_proxy.tasks.register import TaskRegister
from services.a2a_proxy.tasks.retention import TaskRetention
from services.a2a_proxy.tasks.service import Tasks
from services.a2a_proxy.tasks.store.contexts import ContextStore
from services.a2a_proxy.tasks.store.tasks import TaskStore, build_observer
from services.a2a_proxy.tasks.watching import QueueWatch
from services.a2a_proxy.tasks.webhooks import Webhooks
from services.a2a_proxy.work import WorkTracker
from services.a2a_proxy.work_reports import WorkReporter
from services.chassis import clients, database
from services.chassis.clock import SystemClock
from services.chassis.database import AdvisoryLock
from services.chassis.service import Components, Loop, Service, Servicer

MEGABYTE = 1024 * 1024

MAX_MESSAGE_BYTES = 10 * MEGABYTE
"""Bytes of the largest message that a gateway forwards."""

EXPIRY_INTERVAL = timedelta(seconds=1)
"""Interval at which leases and messages whose time is over are ended."""

QUEUE_CLEANUP_INTERVAL = timedelta(minutes=10)
"""Interval at which messages that ended long ago are erased."""

SCHEDULE_INTERVAL = timedelta(seconds=2)
"""Time between two looks for schedules that are due."""

RELAY_INTERVAL = timedelta(seconds=1)
"""Time between two looks into the outbox of events."""

ACCOUNTS_INTERVAL = timedelta(minutes=10)
"""Interval at which the accounts of the queue are checked."""


@asynccontextmanager
async def assemble(settings: Settings) -> AsyncIterator[Components]:
    """Create the parts. At the end, the remaining activity is written before the database connection is closed."""
    clock, work, outbound = SystemClock(), WorkTracker(), OutboundTracker()
    url, role = settings.database_url.get_secret_value(), service.build_role(settings.role_prefix)
    async with (
        database.open_engine(url, role=role, pool=settings.database_pool_size) as engine,
        DriverConnections(url, role=role, limit=MAX_STATEMENTS, settings=CONNECTION_SETTINGS) as event_connections,
        DriverConnections(url, role=role, limit=1) as task_connections,
        clients.open_channel(
            settings.registry_targets, caller_service=service.name, service="registry", tls=settings.tls
        ) as registry,
        clients.open_channel(
            settings.provisioner_targets, caller_service=service.name, service="provisioner", tls=settings.tls
        ) as provisioner,
        clients.open_channel(
            settings.auth_targets, caller_service=service.name, service="auth", tls=settings.tls
        ) as auth,
        AgentClient(
            rules=settings.address_rules, max_dispatches_per_target=settings.max_dispatches_per_target, work=work
        ) as agents,
        AgentClient(rules=settings.address_rules) as receivers,
        Webhooks(settings.address_rules) as webhooks,
    ):
        store, queue_store = Store(engine), QueueStore(engine)
        registry_client, max_queue_bytes = RegistryClient(registry), settings.queue_max_megabytes_per_target * MEGABYTE
        task_store, push_store, context_store = (
            TaskStore(engine, task_connections),
            PushStore(engine),
            ContextStore(engine, task_connections),
        )
        broadcasts, contexts = BroadcastFanOut(), ContextRegister(context_store)
        task_register, queue_watch = TaskRegister(task_store, note_context=contexts.note), QueueWatch(task_store)
        task_retention, push_retention = (
            TaskRetention(task_store, task_register, age=settings.activity_retention),
            PushRetention(push_store, age=settings.activity_retention),
        )
        queue_store.add_observer(build_observer(task_register.follow_queue))
        owner, provisioner_client = str(uuid4()), ProvisionerClient(provisioner)
        streams = build_stream_parts(
            StreamStore(engine, event_connections),
            provisioner_client,
            clock,
            writer_id=owner,
            retention=settings.stream_retention,
            max_bytes=settings.stream_max_megabytes * MEGABYTE,
        )
        queue_retention = QueueRetention(queue_store, age=settings.activity_retention, max_answer_bytes=max_queue_bytes)
        retention = ActivityRetention(
            store,
            registry_client,
            clock,
            age=settings.activity_retention,
            max_bytes=settings.activity_max_megabytes * MEGABYTE,
            max_bytes_per_workspace=settings.activity_max_megabytes_per_workspace * MEGABYTE,
            purge_others=[
                queue_retention.purge,
                task_retention.purge,
                contexts.purge,
                streams.retention.purge,
                push_retention.purge,
            ],
        )
        activity = ActivityLog(
            store,
            broadcasts,
            clock,
            delay=settings.activity_delay,
            on_usage=retention.note_usage,
            on_rows=outbound.note_rows,
        )
        queue_store.add_announcer(activity.announce)
        limits = QueueLimits(
            max_per_target=settings.queue_max_messages_per_target,
            max_per_caller=settings.queue_max_messages_per_caller,
            max_bytes_per_target=max_queue_bytes,
        )
        delegation_store = DelegationStore(queue_store)
        delegation_follower = DelegationFollower(delegation_store, limits=limits, announce=activity.announce)
        upkeep = DelegationUpkeep(
            delegation_store,
            delegation_follower,
            registry_client,
            clock,
            age=settings.activity_retention,
            limits=limits,
            announce=activity.announce,
        )
        inbound_secrets, agent_credentials = InboundSecrets(AuthClient(auth)), AgentCredentials(AuthClient(auth))
        capacity, follower, load = Capacity(), WorkspaceFollower(store, registry_client, clock), ReportedLoad()
        route_cache = RouteCache(
            registry_client,
            on_sign_of_life=agents.dispatches.restart_idle_timeouts,
            on_idle_timeout=lambda workspace_id, declared: agents.dispatches.change_idle_timeouts(
                workspace_id, declared or settings.idle_timeout
            ),
            on_removal=(inbound_secrets.drop, agent_credentials.drop, retention.note_removal, upkeep.note_removal),
            on_update=(follower.note, load.note),
        )
        sender = Sender(
            route_cache=route_cache,
            agents=agents,
            inbound_secrets=inbound_secrets,
            agent_credentials=agent_credentials,
            provisioner=provisioner_client,
            push_relay=PushRelay(
                push_store,
                platform_url=settings.platform_url,
                external_platform_url=settings.external_platform_url,
                read_card=registry_client.read_card,
            ),
            idle_timeout=settings.idle_timeout,
        )
        push_deliveries, inbox, work_reporter = (
            PushDeliveries(push_store, receivers, read_task=TaskReader(route_cache, sender).read),
            Inbox(queue_store, owner=owner),
            WorkReporter(
                registry_client, queue_store, route_cache=route_cache, work=work, outbound=outbound, replica_id=owner
            ),
        )
        settlement = Settlement(
            queue_store,
            lease=settings.queue_lease,
            is_repeatable=partial(is_repeatable, route_cache),
        )
        drain = Drain(
            queue_store,
            sender=sender,
            settlement=settlement,
            route_cache=route_cache,
            capacity=capacity,
            registry=registry_client,
            on_poll=inbox.wake,
            work=work,
            owner=owner,
            lease=settings.queue_lease,
        )
        monitor, recent_ids, access = QueueMonitor(queue_store), RecentIds(queue_store), TaskAccess(route_cache)
        operations = QueueOperations(queue_store, route_cache, on_change=drain.wake)
        settlement.add_listener(drain.wake)
        inbox.add_listener(drain.wake)
        route_cache.add_listener(QueueTargets(capacity, drain), work_reporter)
        listener = database.NotificationListener(
            url, role=service.build_role(settings.role_prefix), channel=QUEUE_CHANNEL
        )
        acceptance = MessageAcceptance(
            queue_store,
            recent_ids,
            limits=limits,
            on_accepted=drain.wake,
        )
        platform_messages = PlatformMessages(queue_store, acceptance, registry_client, clock)
        route_cache.add_update_listener(platform_messages.note)
        delivery = Delivery(
            registry=registry_client,
            tasks=Tasks(
                register=task_register,
                contexts=contexts,
                access=access,
                queued=QueuedTasks(queue_store, task_store, queue_watch),
                answers=AgentAnswers(task_register, contexts, access),
                webhooks=webhooks,
                clock=clock,
            ),
            streams=streams.build_service(access),
            route_cache=route_cache,
            sender=sender,
            capacity=capacity,
            acceptance=acceptance,
            drain=drain,
            activity=activity,
            clock=clock,
            work=work,
            max_inbox_bytes=max_queue_bytes,
        )
        budgets = BodyBudgets.for_bytes(
            settings.max_large_body_megabytes * MEGABYTE,
            max_message_bytes=MAX_MESSAGE_BYTES,
            max_answer_bytes=MAX_ANSWER_BYTES,
        )
        chat_files = ChatFiles(
            route_cache=route_cache,
            agents=agents,
            inbound_secrets=inbound_secrets,
            registry=registry_client,
            work=work,
            idle_timeout=settings.idle_timeout,
        )
        proxy = A2aProxyServicer(delivery, dispatches=agents.dispatches, budgets=budgets)
        scheduler = Scheduler(
            store,
            clock,
            send=delivery.deliver,
            record_activity=activity.record,
            has_room=load.has_room,
            is_native=route_cache.has_native_scheduler,
            is_ready=route_cache.is_fresh,
        )
        delegations = Delegations(
            delegation_store,
            route_cache=route_cache,
            capacity=capacity,
            limits=limits,
            max_depth=settings.delegation_max_depth,
            announce=activity.announce,
            on_accepted=drain.wake,
            work=work,
        )
        try:
            yield Components(
                servicers=[
                    Servicer(
                        contract=a2a_proxy_pb2.DESCRIPTOR.services_by_name["A2aProxyService"],
                        add=a2a_proxy_pb2_grpc.add_A2aProxyServiceServicer_to_server,
                        servicer=proxy,
                    ),
                    Servicer(
                        contract=activity_pb2.DESCRIPTOR.services_by_name["ActivityService"],
                        add=activity_pb2_grpc.add_ActivityServiceServicer_to_server,
                        servicer=ActivityServicer(
                            activity,
                            ActivitySearches(store),
                            Reports(route_cache=route_cache, emitter=activity, work=work, clock=clock),
                            clock,
                            dispatches=agents.dispatches,
                        ),
                    ),
                    Servicer(
                        contract=broadcasts_pb2.DESCRIPTOR.services_by_name["BroadcastService"],
                        add=broadcasts_pb2_grpc.add_BroadcastServiceServicer_to_server,
                        servicer=BroadcastServicer(broadcasts),
                    ),
                    Servicer(
                        contract=queue_pb2.DESCRIPTOR.services_by_name["QueueService"],
                        add=queue_pb2_grpc.add_QueueServiceServicer_to_server,
                        servicer=QueueServicer(operations, monitor),
                    ),
                    Servicer(
                        contract=inbox_pb2.DESCRIPTOR.services_by_name["InboxService"],
                        add=inbox_pb2_grpc.add_InboxServiceServicer_to_server,
                        servicer=InboxServicer(inbox),
                    ),
                    Servicer(
                        contract=chat_files_pb2.DESCRIPTOR.services_by_name["ChatFileService"],
                        add=chat_files_pb2_grpc.add_ChatFileServiceServicer_to_server,
                        servicer=ChatFileServicer(chat_files),
                    ),
                    Servicer(
                        contract=schedules_pb2.DESCRIPTOR.services_by_name["ScheduleService"],
                        add=schedules_pb2_grpc.add_ScheduleServiceServicer_to_server,
                        servicer=ScheduleServicer(Schedules(store, route_cache, clock)),
                    ),
                    Servicer(
                        contract=delegations_pb2.DESCRIPTOR.services_by_name["DelegationService"],
                        add=delegations_pb2_grpc.add_DelegationServiceServicer_to_server,
                        servicer=DelegationServicer(delegations),
                    ),
                    Servicer(
                        contract=push_pb2.DESCRIPTOR.services_by_name["PushService"],
                        add=push_pb2_grpc.add_PushServiceServicer_to_server,
                        servicer=PushServicer(
                            PushReception(
                                push_store, may_be_owner=task_register.may_be_owner, on_stored=push_deliveries.wake
                            )
                        ),
                    ),
                ],
                loops=[
                    Loop(name="routes", run=route_cache.follow_feed),
                    Loop(name="calls", run=proxy.run_calls),
                    Loop(name="activity", run=activity.write_batches),
                    Loop(
                        name="cleaning",
                        run=partial(retention.clean, route_cache.has_route),
                        every=settings.cleanup_interval,
                    ),
                    Loop(name="activity.retention", run=retention.follow),
                    Loop(name="queue", run=drain.run),
                    Loop(name="work", run=work_reporter.run),
                    Loop(
                        name="queue.feed",
                        run=QueueFeed(listener, recent_ids, drain, on_notification=queue_watch.wake).follow,
                    ),
                    Loop(name="queue.leases", run=settlement.renew_leases, every=settings.queue_renewal),
                    Loop(name="queue.expiry", run=settlement.end_expired, every=EXPIRY_INTERVAL),
                    Loop(name="queue.cleaning", run=queue_retention.clean, every=QUEUE_CLEANUP_INTERVAL),
                    Loop(name="tasks.streams", run=queue_watch.follow),
                    Loop(name="tasks.contexts", run=contexts.run),
                    Loop(
                        name="tasks.contexts.cleaning",
                        run=partial(contexts.clean, settings.activity_retention),
                        every=settings.cleanup_interval,
                    ),
                    Loop(name="tasks.cleaning", run=task_retention.clean, every=settings.cleanup_interval),
                    Loop(name="streams", run=streams.recorder.run),
                    Loop(name="streams.followers", run=streams.watch.run),
                    Loop(name="streams.alive", run=streams.recorder.note_alive, every=ALIVE_INTERVAL),
                    Loop(name="streams.abandoned", run=streams.writer.end_abandoned, every=ABANDONED_AGE / 4),
                    Loop(
                        name="streams.cleaning",
                        run=streams.retention.clean,
                        every=CLEANUP_INTERVAL,
                        lock=AdvisoryLock(url, role=role, name="a2a_proxy.streams"),
                    ),
                    Loop(name="push", run=push_deliveries.run),
                    Loop(name="push.cleaning", run=push_retention.clean, every=settings.cleanup_interval),
                    Loop(name="queue.accounts", run=monitor.check_accounts, every=ACCOUNTS_INTERVAL),
                    Loop(name="schedules.runs", run=scheduler.own_runs),
                    Loop(
                        name="schedules",
                        run=scheduler.tick,
                        every=SCHEDULE_INTERVAL,
                        lock=AdvisoryLock(url, role=role, name="a2a_proxy.schedules"),
                    ),
                    Loop(name="schedules.workspaces", run=follower.follow),
                    Loop(
                        name="schedules.cleaning",
                        run=partial(follower.clean, route_cache.has_route),
                        every=settings.cleanup_interval,
                    ),
                    Loop(name="platform_messages", run=platform_messages.follow),
                    Loop(
                        name="platform_messages.cleaning",
                        run=partial(platform_messages.clean, route_cache.has_route),
                        every=settings.cleanup_interval,
                    ),
                    Loop(name="delegations.rows", run=delegation_follower.announce_rows),
                    Loop(name="delegations.removals", run=upkeep.follow_removals),
                    Loop(
                        name="delegations.due",
                        run=upkeep.end_overdue,
                        every=DUE_INTERVAL,
                        lock=AdvisoryLock(url, role=role, name="a2a_proxy.delegations"),
                    ),
                    Loop(
                        name="delegations.cleaning",
                        run=partial(upkeep.clean, route_cache.has_route),
                        every=settings.cleanup_interval,
                    ),
                    Loop(
                        name="stored_events",
                        run=EventRelay(store, registry_client).relay,
                        every=RELAY_INTERVAL,
                        lock=AdvisoryLock(url, role=role, name="a2a_proxy.stored_events"),
                    ),
                ],
                probes=[route_cache.find_trouble],
                on_stop=[proxy.stop_exchanges, drain.stop, queue_watch.stop, streams.watch.stop, push_deliveries.stop],
            )
        finally:
            await streams.writer.close()
            await contexts.close()
            await activity.flush()


service = Service(
    name="a2a_proxy",
    settings=Settings,
    assemble=assemble,
    schema=SCHEMA,
    migrations=Path(__file__).parent / "migrations",
)
