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
    inbox_pb2,
    inbox_pb2_grpc,
    queue_pb2,
    queue_pb2_grpc,
)
from services.a2a_proxy.activity import ActivityLog
from services.a2a_proxy.activity_retention import ActivityRetention
from services.a2a_proxy.agent_client import AgentClient
from services.a2a_proxy.api import A2aProxyServicer, ActivityServicer, BroadcastServicer
from services.a2a_proxy.broadcasts import BroadcastFanOut
from services.a2a_proxy.capacity import Capacity
from services.a2a_proxy.clients import AuthClient, ProvisionerClient, RegistryClient
from services.a2a_proxy.delivery import Delivery
from services.a2a_proxy.inbound_secrets import InboundSecrets
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
from services.a2a_proxy.queue.store import CHANNEL as QUEUE_CHANNEL
from services.a2a_proxy.queue.store import QueueStore
from services.a2a_proxy.queue.targets import QueueTargets, is_repeatable
from services.a2a_proxy.route_cache import RouteCache
from services.a2a_proxy.sending import Sender
from services.a2a_proxy.settings import Settings
from services.a2a_proxy.store import Store
from services.a2a_proxy.tables import SCHEMA
from services.chassis import clients, database
from services.chassis.clock import SystemClock
from services.chassis.service import Components, Loop, Service, Servicer

MEGABYTE = 1024 * 1024

EXPIRY_INTERVAL = timedelta(seconds=1)
"""Interval at which leases and messages whose time is over are ended."""

QUEUE_CLEANUP_INTERVAL = timedelta(minutes=10)
"""Interval at which messages that ended long ago are erased."""

ACCOUNTS_INTERVAL = timedelta(minutes=10)
"""Interval at which the accounts of the queue are checked."""


@asynccontextmanager
async def assemble(settings: Settings) -> AsyncIterator[Components]:
    """Create the parts. At the end, the remaining activity is written before the database connection is closed."""
    clock, url = SystemClock(), settings.database_url.get_secret_value()
    async with (
        database.open_engine(url, role=service.build_role(settings.role_prefix)) as engine,
        clients.open_channel(
            settings.registry_targets, caller_service=service.name, service="registry", tls=settings.tls
        ) as registry,
        clients.open_channel(
            settings.provisioner_targets, caller_service=service.name, service="provisioner", tls=settings.tls
        ) as provisioner,
        clients.open_channel(
            settings.auth_targets, caller_service=service.name, service="auth", tls=settings.tls
        ) as auth,
        AgentClient(rules=settings.address_rules) as agents,
    ):
        broadcasts = BroadcastFanOut()
        store, queue_store = Store(engine), QueueStore(engine)
        registry_client = RegistryClient(registry)
        max_queue_bytes = settings.queue_max_megabytes_per_target * MEGABYTE
        queue_retention = QueueRetention(queue_store, age=settings.activity_retention, max_answer_bytes=max_queue_bytes)
        retention = ActivityRetention(
            store,
            registry_client,
            clock,
            age=settings.activity_retention,
            max_bytes=settings.activity_max_megabytes * MEGABYTE,
            max_bytes_per_workspace=settings.activity_max_megabytes_per_workspace * MEGABYTE,
            purge_others=queue_retention.purge,
        )
        activity = ActivityLog(store, broadcasts, clock, delay=settings.activity_delay, on_usage=retention.note_usage)
        inbound_secrets = InboundSecrets(AuthClient(auth))
        capacity = Capacity()
        route_cache = RouteCache(
            registry_client,
            on_sign_of_life=agents.restart_idle_timeouts,
            on_removal=(inbound_secrets.drop, retention.note_removal),
        )
        sender = Sender(
            route_cache=route_cache,
            agents=agents,
            inbound_secrets=inbound_secrets,
            provisioner=ProvisionerClient(provisioner),
            idle_timeout=settings.idle_timeout,
        )
        owner = str(uuid4())
        inbox = Inbox(queue_store, activity, owner=owner)
        settlement = Settlement(
            queue_store,
            activity,
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
            owner=owner,
            lease=settings.queue_lease,
        )
        monitor = QueueMonitor(queue_store)
        operations = QueueOperations(queue_store, route_cache, on_change=drain.wake)
        settlement.add_listener(drain.wake)
        route_cache.add_listener(QueueTargets(capacity, drain))
        recent_ids = RecentIds(queue_store)
        listener = database.NotificationListener(
            url, role=service.build_role(settings.role_prefix), channel=QUEUE_CHANNEL
        )
        acceptance = MessageAcceptance(
            queue_store,
            activity,
            recent_ids,
            limits=QueueLimits(
                max_per_target=settings.queue_max_messages_per_target,
                max_per_caller=settings.queue_max_messages_per_caller,
                max_bytes_per_target=max_queue_bytes,
            ),
            on_accepted=drain.wake,
        )
        delivery = Delivery(
            registry=registry_client,
            route_cache=route_cache,
            sender=sender,
            capacity=capacity,
            acceptance=acceptance,
            drain=drain,
            activity=activity,
            clock=clock,
            max_inbox_bytes=max_queue_bytes,
        )
        proxy = A2aProxyServicer(delivery)
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
                        servicer=ActivityServicer(activity, clock),
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
                    Loop(name="queue.feed", run=QueueFeed(listener, recent_ids, drain).follow),
                    Loop(name="queue.leases", run=settlement.renew_leases, every=settings.queue_renewal),
                    Loop(name="queue.expiry", run=settlement.end_expired, every=EXPIRY_INTERVAL),
                    Loop(name="queue.cleaning", run=queue_retention.clean, every=QUEUE_CLEANUP_INTERVAL),
                    Loop(name="queue.accounts", run=monitor.check_accounts, every=ACCOUNTS_INTERVAL),
                ],
                probes=[route_cache.find_trouble],
                on_stop=[proxy.stop_exchanges, drain.stop],
            )
        finally:
            await activity.flush()


service = Service(
    name="a2a_proxy",
    settings=Settings,
    assemble=assemble,
    schema=SCHEMA,
    migrations=Path(__file__).parent / "migrations",
)
