"""Creates and connects the parts of the A2A proxy."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

from protos.a2a_proxy.v1 import (
    a2a_proxy_pb2,
    a2a_proxy_pb2_grpc,
    activity_pb2,
    activity_pb2_grpc,
    broadcasts_pb2,
    broadcasts_pb2_grpc,
)
from services.a2a_proxy.activity import ActivityLog
from services.a2a_proxy.activity_retention import ActivityRetention
from services.a2a_proxy.agent_client import AgentClient
from services.a2a_proxy.api import A2aProxyServicer, ActivityServicer, BroadcastServicer
from services.a2a_proxy.broadcasts import BroadcastFanOut
from services.a2a_proxy.clients import AuthClient, ProvisionerClient, RegistryClient
from services.a2a_proxy.delivery import Delivery
from services.a2a_proxy.inbound_secrets import InboundSecrets
from services.a2a_proxy.route_cache import RouteCache
from services.a2a_proxy.settings import Settings
from services.a2a_proxy.store import Store
from services.a2a_proxy.stored_events.relay import EventRelay
from services.a2a_proxy.tables import SCHEMA
from services.chassis import clients, database
from services.chassis.clock import SystemClock
from services.chassis.database import AdvisoryLock
from services.chassis.service import Components, Loop, Service, Servicer

MEGABYTE = 1024 * 1024

RELAY_INTERVAL = timedelta(seconds=1)
"""Time between two looks into the outbox of events."""


@asynccontextmanager
async def assemble(settings: Settings) -> AsyncIterator[Components]:
    """Create the parts. At the end, the remaining activity is written before the database connection is closed."""
    clock = SystemClock()
    url, role = settings.database_url.get_secret_value(), service.build_role(settings.role_prefix)
    async with (
        database.open_engine(url, role=role) as engine,
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
        store = Store(engine)
        registry_client = RegistryClient(registry)
        max_workspace_bytes = settings.activity_max_megabytes_per_workspace * MEGABYTE
        retention = ActivityRetention(
            store,
            registry_client,
            clock,
            age=settings.activity_retention,
            max_bytes=settings.activity_max_megabytes * MEGABYTE,
            max_bytes_per_workspace=max_workspace_bytes,
        )
        activity = ActivityLog(store, broadcasts, clock, delay=settings.activity_delay, on_usage=retention.note_usage)
        inbound_secrets = InboundSecrets(AuthClient(auth))
        route_cache = RouteCache(
            registry_client,
            on_sign_of_life=agents.restart_idle_timeouts,
            on_removal=(inbound_secrets.drop, retention.note_removal),
        )
        delivery = Delivery(
            registry=registry_client,
            route_cache=route_cache,
            agents=agents,
            inbound_secrets=inbound_secrets,
            activity=activity,
            provisioner=ProvisionerClient(provisioner),
            clock=clock,
            idle_timeout=settings.idle_timeout,
            max_inbox_bytes=max_workspace_bytes,
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
                    Loop(
                        name="stored_events",
                        run=EventRelay(store, registry_client).relay,
                        every=RELAY_INTERVAL,
                        lock=AdvisoryLock(url, role=role, name="a2a_proxy.stored_events"),
                    ),
                ],
                probes=[route_cache.find_trouble],
                on_stop=[proxy.stop_exchanges],
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
