"""Builds the gateway: middleware around the WebSocket, the message path and the routes behind their guards."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from pydantic import SecretStr
from starlette.types import ASGIApp

from gateway import documentation
from gateway.a2a_grpc.app import RpcApp
from gateway.a2a_grpc.server import A2aService
from gateway.authentication import Authenticator
from gateway.card_signing import CardSigner, read_card_signer
from gateway.clients import ServiceChannels, open_channels
from gateway.cors import CorsPolicy
from gateway.credentials import hash_credential
from gateway.endpoint import RouteEndpoint
from gateway.event_feed import EventFeed
from gateway.exchange import ExchangePool
from gateway.guards import IdentityProvider
from gateway.hosts import HostPolicy
from gateway.limits import RateLimiter
from gateway.metrics import RequestMetrics
from gateway.middleware import RequestMiddleware
from gateway.parsing_turns import ParsingTurns
from gateway.proxy_headers import ProxyHeaders
from gateway.readiness import ReadinessChecker
from gateway.route import Route
from gateway.routes import cards
from gateway.routes.a2a import MessageApp
from gateway.routes.a2a_rest import RestApp
from gateway.routes.activity import ActivityRoutes
from gateway.routes.approvals import ApprovalRoutes
from gateway.routes.audit import AuditRoutes
from gateway.routes.budgets import BudgetRoutes
from gateway.routes.bundles import BundleRoutes
from gateway.routes.cards import CardRoutes
from gateway.routes.chat_files import ChatFileRoutes
from gateway.routes.checkpoints import CheckpointRoutes
from gateway.routes.configs import ConfigRoutes
from gateway.routes.delegations import DelegationRoutes
from gateway.routes.entries import EntryRoutes
from gateway.routes.event_readers import EventReaders
from gateway.routes.event_stream import EventStreamRoutes
from gateway.routes.events import EventRoutes
from gateway.routes.files import FileRoutes
from gateway.routes.images import ImageRoutes
from gateway.routes.inbox import InboxRoutes
from gateway.routes.instructions import InstructionRoutes
from gateway.routes.lifecycle import LifecycleRoutes
from gateway.routes.liveness import LivenessRoutes
from gateway.routes.logs import LogRoutes
from gateway.routes.memories import MemoryRoutes
from gateway.routes.models import ModelRoutes
from gateway.routes.openapi import OpenApiRoutes
from gateway.routes.operations import OperationsRoutes
from gateway.routes.orgs import OrgRoutes
from gateway.routes.plugins import PluginRoutes
from gateway.routes.push import PushRoutes
from gateway.routes.queue import QueueRoutes
from gateway.routes.registry import RegistryRoutes
from gateway.routes.reports import ReportRoutes
from gateway.routes.schedules import ScheduleRoutes
from gateway.routes.search import SearchRoutes
from gateway.routes.secrets import SecretRoutes
from gateway.routes.session_search import SessionSearchRoutes
from gateway.routes.sessions import SessionRoutes
from gateway.routes.templates import TemplateRoutes
from gateway.routes.tokens import TokenRoutes
from gateway.routes.websocket import WebSocketApp
from gateway.routes.workspaces import WorkspaceRoutes
from gateway.routing import Router
from gateway.settings import Settings
from services.chassis.settings import Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """The gateway as one ASGI application and one gRPC service."""

    app: ASGIApp
    rpc_service: A2aService
    """The gRPC binding of A2A, with the same limits."""
    end_subscriptions: Callable[[], None]
    """Ends the event streams and WebSockets, which would delay the end of the server."""


@asynccontextmanager
async def start_gateway(settings: Settings) -> AsyncIterator[Gateway]:
    """Run the gateway's feeds and streams within the `with` block; yields the application.

    If one of them fails, the block is cancelled and the error raised. Raises `InvalidSettings` for an unusable key
    of agent cards.
    """
    signer = read_card_signer(settings.agent_card_signing_key)
    async with open_channels(settings) as channels:
        authenticator = Authenticator(
            channels.auth,
            admin_token_digest=settings.admin_token_digest,
            metrics_token_digest=_hash_token(settings.metrics_token),
        )
        exchanges = ExchangePool(channels.each_a2a_proxy)
        feed = EventFeed(channels.registry, registries=channels.each_registry, proxies=channels.each_a2a_proxy)
        async with asyncio.TaskGroup() as group:
            loops = [
                group.create_task(authenticator.follow_revocations(), name="revocations"),
                group.create_task(authenticator.reauthorise_while_feed_is_stale(), name="reauthorisation"),
                group.create_task(exchanges.run(), name="exchanges"),
                group.create_task(feed.run(), name="events"),
            ]
            try:
                yield _build_gateway(settings, channels, authenticator, exchanges, feed, signer=signer)
            finally:
                for loop in loops:
                    loop.cancel()


def _build_gateway(
    settings: Settings,
    channels: ServiceChannels,
    authenticator: Authenticator,
    exchanges: ExchangePool,
    feed: EventFeed,
    *,
    signer: CardSigner | None,
) -> Gateway:
    metrics = RequestMetrics()
    proxy_headers = ProxyHeaders(settings.trusted_proxies or (), settings.external_platform_url)
    hosts = HostPolicy(settings.host_names)
    readers = EventReaders(channels.registry, feed)
    routes = build_routes(
        settings,
        channels,
        metrics,
        EventStreamRoutes(authenticator, readers),
        forget_session=authenticator.forget_session,
        signer=signer,
    )
    router = build_router(routes, callers=authenticator, proxy_headers=proxy_headers, is_limited=not settings.is_open)
    base_url, bearer_needed = proxy_headers.base_url, not settings.is_open
    sign_card = None if signer is None else signer.sign
    bindings = RestApp(
        authenticator,
        exchanges,
        fallback=router,
        base_url=base_url,
        bearer_needed=bearer_needed,
        sign_card=sign_card,
        grpc_url=settings.shown_grpc_url,
    )
    messages = MessageApp(
        authenticator,
        exchanges,
        fallback=bindings,
        base_url=base_url,
        bearer_needed=bearer_needed,
        sign_card=sign_card,
        grpc_url=settings.shown_grpc_url,
    )
    behind_middleware = partial(
        RequestMiddleware,
        hosts=hosts,
        cors=CorsPolicy(settings.origins, settings.external_platform_url, hosts),
        rates=None if settings.is_open else RateLimiter(settings.rate_limit),
        proxy_headers=proxy_headers,
        metrics=metrics,
    )
    rpc_service = A2aService(
        behind_middleware(RpcApp(bindings)),
        proxy_headers=proxy_headers,
        host=urlsplit(settings.platform_url).netloc,
        max_calls_per_client=settings.max_connections_per_address,
    )
    return Gateway(
        app=behind_middleware(WebSocketApp(authenticator, readers, metrics, fallback=messages)),
        rpc_service=rpc_service,
        end_subscriptions=feed.end_subscriptions,
    )


def _hash_token(secret: SecretStr | None) -> bytes | None:
    token = secret.get_secret_value() if secret else ""
    return hash_credential(token) if token else None


def build_routes(
    settings: Settings,
    channels: ServiceChannels,
    metrics: RequestMetrics,
    streams: EventStreamRoutes,
    *,
    forget_session: Callable[[str], None],
    signer: CardSigner | None = None,
) -> list[Route]:
    """Return every route but those that describe the others."""
    card_guard = cards.choose_guard(public=settings.cards_are_public)
    return [
        *OperationsRoutes(channels.registry, channels.a2a_proxy, ReadinessChecker(channels), metrics).list_routes(),
        *LivenessRoutes(channels).list_routes(),
        *WorkspaceRoutes(channels.registry).list_routes(),
        *LifecycleRoutes(channels.registry).list_routes(),
        *LogRoutes(channels.provisioner).list_routes(),
        *ImageRoutes(channels.provisioner).list_routes(),
        *FileRoutes(channels.provisioner).list_routes(),
        *PluginRoutes(channels.provisioner, max_body_bytes=settings.plugin_max_body_bytes).list_routes(),
        *SearchRoutes(channels.registry).list_routes(),
        *RegistryRoutes(channels.registry).list_routes(),
        *EventRoutes(channels.registry).list_routes(),
        *streams.list_routes(),
        *MemoryRoutes(channels.registry).list_routes(),
        *ApprovalRoutes(channels.registry).list_routes(),
        *CheckpointRoutes(channels.registry).list_routes(),
        *ConfigRoutes(channels.registry).list_routes(),
        *InstructionRoutes(channels.registry).list_routes(),
        *EntryRoutes(channels.registry).list_routes(),
        *TemplateRoutes(channels.registry).list_routes(),
        *OrgRoutes(channels.registry).list_routes(),
        *BundleRoutes(channels.registry).list_routes(),
        *ActivityRoutes(channels.a2a_proxy).list_routes(),
        *DelegationRoutes(channels.a2a_proxy).list_routes(),
        *QueueRoutes(channels.a2a_proxy).list_routes(),
        *InboxRoutes(channels.a2a_proxy).list_routes(),
        *ReportRoutes(channels.a2a_proxy).list_routes(),
        *SessionSearchRoutes(channels.a2a_proxy, channels.registry).list_routes(),
        *ChatFileRoutes(channels.a2a_proxy).list_routes(),
        *PushRoutes(channels.a2a_proxy).list_routes(),
        *ScheduleRoutes(channels.a2a_proxy).list_routes(),
        *AuditRoutes(channels.auth).list_routes(),
        *TokenRoutes(channels.auth).list_routes(),
        *SessionRoutes(
            channels.auth, forget_session=forget_session, secure=settings.mode is Mode.PRODUCTION
        ).list_routes(),
        *SecretRoutes(channels.auth).list_routes(),
        *ModelRoutes(channels.registry).list_routes(),
        *BudgetRoutes(channels.registry).list_routes(),
        *CardRoutes(
            channels.registry,
            guard=card_guard,
            bearer_needed=not settings.is_open,
            signer=signer,
            grpc_url=settings.shown_grpc_url,
        ).list_routes(),
    ]


def build_router(
    routes: Sequence[Route], *, callers: IdentityProvider, proxy_headers: ProxyHeaders, is_limited: bool
) -> Router:
    """Return the router of the routes and of those that describe them; `is_limited` enforces the routes' own limits."""
    contract = OpenApiRoutes(lambda: documentation.build_document(documented))
    documented = [*routes, *contract.list_routes()]
    turns = ParsingTurns()
    return Router(
        (
            route.method,
            route.path,
            RouteEndpoint(route, callers=callers, proxy_headers=proxy_headers, turns=turns, is_limited=is_limited),
        )
        for route in documented
    )
