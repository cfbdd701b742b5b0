"""The wiring of the post."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
from services.a2a_proxy.agents import Agents
from services.a2a_proxy.api import A2aProxyServicer, ActivityServicer, BroadcastServicer
from services.a2a_proxy.broadcasts import Broadcasts
from services.a2a_proxy.calls import Provisioner, Registry
from services.a2a_proxy.delivery import Delivery
from services.a2a_proxy.routebook import Routebook
from services.a2a_proxy.settings import Settings
from services.a2a_proxy.store import Store
from services.a2a_proxy.tables import SCHEMA
from services.chassis import clients, database
from services.chassis.clock import SystemClock
from services.chassis.service import Components, Loop, Service, Servicer


@asynccontextmanager
async def assemble(settings: Settings) -> AsyncIterator[Components]:
    """The parts, top to bottom. What is left of the log is written before the database is let go."""
    clock = SystemClock()
    async with (
        database.open_engine(settings.database_url.get_secret_value(), role=service.role) as engine,
        clients.open_channel(settings.registry_targets, speaker=service.name, tls=settings.tls) as registry,
        clients.open_channel(settings.provisioner_targets, speaker=service.name, tls=settings.tls) as provisioner,
        Agents(rules=settings.rules) as agents,
    ):
        broadcasts = Broadcasts()
        activity = ActivityLog(Store(engine), broadcasts, clock, delay=settings.activity_delay)
        known = Registry(registry)
        routebook = Routebook(known, heard=agents.heard)
        delivery = Delivery(
            registry=known,
            routebook=routebook,
            agents=agents,
            activity=activity,
            provisioner=Provisioner(provisioner),
            clock=clock,
            idle=settings.idle_timeout,
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
                    Loop(name="routes", run=routebook.follow),
                    Loop(name="calls", run=proxy.run),
                    Loop(name="activity", run=activity.write),
                    Loop(
                        name="cleaning",
                        run=partial(activity.clean, settings.activity_retention),
                        every=settings.cleanup_interval,
                    ),
                ],
                on_stop=[proxy.leave],
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
