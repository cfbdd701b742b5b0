"""Wiring: the routes behind their gates, messages and sockets beside them, the edge around all of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.types import ASGIApp

from gateway import documentation
from gateway.authentication import Authenticator, hash_bearer
from gateway.clients import ServiceChannels, open_channels
from gateway.cors import CorsPolicy
from gateway.event_feed import EventFeed
from gateway.exchange import ExchangePool
from gateway.limits import RateLimiter
from gateway.metrics import RequestMetrics
from gateway.middleware import RequestMiddleware
from gateway.proxy_headers import ProxyHeaders
from gateway.readiness import ReadinessChecker
from gateway.route import IdentityProvider, Route, RouteEndpoint
from gateway.routes import cards
from gateway.routes.a2a import MessageApp
from gateway.routes.activity import ActivityRoutes
from gateway.routes.approvals import ApprovalRoutes
from gateway.routes.audit import AuditRoutes
from gateway.routes.budgets import BudgetRoutes
from gateway.routes.bundles import BundleRoutes
from gateway.routes.cards import CardRoutes
from gateway.routes.checkpoints import CheckpointRoutes
from gateway.routes.configs import ConfigRoutes
from gateway.routes.entries import EntryRoutes
from gateway.routes.event_stream import EventReaders, EventStreamRoutes, WebSocketApp
from gateway.routes.events import EventRoutes
from gateway.routes.instructions import InstructionRoutes
from gateway.routes.lifecycle import LifecycleRoutes
from gateway.routes.liveness import LivenessRoutes
from gateway.routes.logs import LogRoutes
from gateway.routes.memories import MemoryRoutes
from gateway.routes.models import ModelRoutes
from gateway.routes.openapi import OpenApiRoutes
from gateway.routes.operations import OperationsRoutes
from gateway.routes.orgs import OrgRoutes
from gateway.routes.registry import RegistryRoutes
from gateway.routes.search import SearchRoutes
from gateway.routes.secrets import SecretRoutes
from gateway.routes.sessions import SessionRoutes
from gateway.routes.templates import TemplateRoutes
from gateway.routes.tokens import TokenRoutes
from gateway.routes.workspaces import WorkspaceRoutes
from gateway.routing import Router
from gateway.settings import Settings
from services.chassis.settings import Mode


@dataclass(frozen=True, slots=True)
class Gateway:
    """The gateway as one ASGI application, and how those who listen are sent away before it stops."""

    app: ASGIApp
    leave: Callable[[], None]


@asynccontextmanager
async def start_gateway(settings: Settings) -> AsyncIterator[Gateway]:
    """The gateway, for the length of the block.

    If the loop behind it fails, the block is cancelled and the failure raised.
    """
    async with open_channels(settings) as clients:
        callers = Authenticator(clients.auth, operator=_hash_admin_token(settings))
        exchanges = ExchangePool(clients.each_a2a_proxy)
        live = EventFeed(clients.registry, registries=clients.each_registry, proxies=clients.each_a2a_proxy)
        async with asyncio.TaskGroup() as group:
            loops = [
                group.create_task(callers.listen(), name="revocations"),
                group.create_task(callers.doubt(), name="doubt"),
                group.create_task(exchanges.run(), name="exchanges"),
                group.create_task(live.run(), name="live"),
            ]
            try:
                yield Gateway(_build_application(settings, clients, callers, exchanges, live), live.leave)
            finally:
                for loop in loops:
                    loop.cancel()


def _build_application(
    settings: Settings, clients: ServiceChannels, callers: Authenticator, exchanges: ExchangePool, live: EventFeed
) -> ASGIApp:
    metrics = RequestMetrics()
    forwarded = ProxyHeaders(settings.trusted_proxies or (), settings.external_platform_url)
    openings = EventReaders(clients.registry, live)
    routes = build_routes(settings, clients, metrics, EventStreamRoutes(callers, openings))
    messages = MessageApp(
        callers,
        exchanges,
        fallback=build_router(routes, callers=callers, forwarded=forwarded, limited=not settings.is_open),
        base_url=forwarded.base_url,
        bearer_needed=not settings.is_open,
    )
    return RequestMiddleware(
        WebSocketApp(callers, openings, metrics, fallback=messages),
        cors=CorsPolicy(settings.origins, settings.external_platform_url),
        rates=None if settings.is_open else RateLimiter(settings.rate_limit),
        forwarded=forwarded,
        metrics=metrics,
    )


def _hash_admin_token(settings: Settings) -> bytes | None:
    token = settings.admin_token.get_secret_value() if settings.admin_token else ""
    return hash_bearer(token) if token else None


def build_routes(
    settings: Settings, clients: ServiceChannels, metrics: RequestMetrics, streams: EventStreamRoutes
) -> list[Route]:
    """Every route, as it is declared."""
    card_guard = cards.choose_guard(public=settings.cards_are_public)
    return [
        *OperationsRoutes(ReadinessChecker(clients), metrics).list_routes(),
        *LivenessRoutes(clients).list_routes(),
        *WorkspaceRoutes(clients.registry).list_routes(),
        *LifecycleRoutes(clients.registry).list_routes(),
        *LogRoutes(clients.provisioner).list_routes(),
        *SearchRoutes(clients.registry).list_routes(),
        *RegistryRoutes(clients.registry).list_routes(),
        *EventRoutes(clients.registry).list_routes(),
        *streams.list_routes(),
        *MemoryRoutes(clients.registry).list_routes(),
        *ApprovalRoutes(clients.registry).list_routes(),
        *CheckpointRoutes(clients.registry).list_routes(),
        *ConfigRoutes(clients.registry).list_routes(),
        *InstructionRoutes(clients.registry).list_routes(),
        *EntryRoutes(clients.registry).list_routes(),
        *TemplateRoutes(clients.registry).list_routes(),
        *OrgRoutes(clients.registry).list_routes(),
        *BundleRoutes(clients.registry).list_routes(),
        *ActivityRoutes(clients.a2a_proxy).list_routes(),
        *AuditRoutes(clients.auth).list_routes(),
        *TokenRoutes(clients.auth).list_routes(),
        *SessionRoutes(clients.auth, secure=settings.mode is Mode.PRODUCTION).list_routes(),
        *SecretRoutes(clients.auth).list_routes(),
        *ModelRoutes(clients.registry).list_routes(),
        *BudgetRoutes(clients.registry).list_routes(),
        *CardRoutes(clients.registry, guard=card_guard, bearer_needed=not settings.is_open).list_routes(),
    ]


def build_router(
    routes: Sequence[Route], *, callers: IdentityProvider, forwarded: ProxyHeaders, limited: bool
) -> Router:
    """The routes, and those that describe them, as one application; `limited` where rates are."""
    contract = OpenApiRoutes(lambda: documentation.build_document(documented))
    documented = [*routes, *contract.list_routes()]
    return Router(
        (route.method, route.path, RouteEndpoint(route, callers=callers, forwarded=forwarded, limited=limited))
        for route in documented
    )
