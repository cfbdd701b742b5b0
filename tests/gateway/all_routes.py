"""Every route of the gateway, declared as in production, without services behind it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.app import build_routes
from gateway.authentication import Authenticator
from gateway.clients import open_channels
from gateway.event_feed import EventFeed
from gateway.metrics import RequestMetrics
from gateway.route import Route
from gateway.routes.event_readers import EventReaders
from gateway.routes.event_stream import EventStreamRoutes
from gateway.routes.openapi import OpenApiRoutes
from gateway.settings import AgentCards, Settings
from services.chassis.settings import Mode

TARGETS = dict.fromkeys(
    ("registry_targets", "auth_targets", "a2a_proxy_targets", "provisioner_targets"), "unix:/nowhere"
)


@asynccontextmanager
async def declare_routes() -> AsyncIterator[list[Route]]:
    """Declare the routes for the length of the block."""
    settings = Settings(mode=Mode.DEVELOPMENT, agent_cards=AgentCards.AUTHENTICATED, **TARGETS)
    async with open_channels(settings) as channels:
        readers = EventReaders(channels.registry, EventFeed(channels.registry))
        streams = EventStreamRoutes(Authenticator(channels.auth), readers)
        yield [
            *build_routes(settings, channels, RequestMetrics(), streams, forget_session=lambda _: None),
            *OpenApiRoutes(dict).list_routes(),
        ]
