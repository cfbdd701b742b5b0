"""A gateway on an ephemeral port, between real HTTP and real gRPC."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from gateway.server import run_gateway
from gateway.settings import Settings
from services.chassis.service import Servicer
from services.chassis.settings import Mode
from tests.gateway import fake_services
from tests.gateway.fake_event_feed import FakeBroadcastService, FakeEventService
from tests.gateway.fake_services import ADMIN, ANONYMOUS, FakeAuth, ScriptedService
from tests.rpc import serve

ADMIN_BEARER = "the-operator"


@dataclass(kw_only=True)
class GatewayUnderTest:
    """A running gateway and the fake services behind it."""

    auth: FakeAuth
    registry: ScriptedService = field(default_factory=fake_services.registry)
    event_feed: FakeEventService = field(default_factory=FakeEventService)
    broadcast_feed: FakeBroadcastService = field(default_factory=FakeBroadcastService)
    activities: ScriptedService = field(default_factory=fake_services.activities)
    memories: ScriptedService = field(default_factory=fake_services.memories)
    queue: ScriptedService = field(default_factory=fake_services.queue)
    search: ScriptedService = field(default_factory=fake_services.search)
    lifecycle: ScriptedService = field(default_factory=fake_services.lifecycle)
    audit: ScriptedService = field(default_factory=fake_services.audit)
    tokens: ScriptedService = field(default_factory=fake_services.tokens)
    vault: ScriptedService = field(default_factory=fake_services.vault)
    templates: ScriptedService = field(default_factory=fake_services.templates)
    bundles: ScriptedService = field(default_factory=fake_services.bundles)
    models: ScriptedService = field(default_factory=fake_services.models)
    budgets: ScriptedService = field(default_factory=fake_services.budgets)
    logs: ScriptedService = field(default_factory=fake_services.logs)
    settings: Settings = field(init=False)
    url: str = ""
    http: httpx.AsyncClient = field(init=False)

    @property
    def only_call(self) -> fake_services.ReceivedCall:
        """The only call that the registry received."""
        return self.only_call_of(self.registry)

    def only_call_of(self, service: ScriptedService) -> fake_services.ReceivedCall:
        """The only call that `service` received."""
        [only] = service.received
        return only


RunsGateway = Callable[..., AbstractAsyncContextManager[GatewayUnderTest]]


@asynccontextmanager
async def run_gateway_under_test(
    *,
    auth: FakeAuth | None = None,
    proxy: Servicer | None = None,
    event_feed: FakeEventService | None = None,
    **settings: Any,
) -> AsyncIterator[GatewayUnderTest]:
    """Run a gateway within the `with` block; open development unless the settings say otherwise."""
    known = auth or FakeAuth(known={None: ANONYMOUS, ADMIN_BEARER: ADMIN})
    plane = GatewayUnderTest(auth=known, event_feed=event_feed or FakeEventService())
    async with AsyncExitStack() as stack:

        async def at(*servicers: Servicer) -> str:
            return await stack.enter_async_context(serve(servicers))

        plane.settings = Settings(
            **{
                "mode": Mode.DEVELOPMENT,
                "port": 0,
                "auth_targets": await at(
                    plane.auth.servicer(), plane.audit.servicer(), plane.tokens.servicer(), plane.vault.servicer()
                ),
                "registry_targets": await at(
                    plane.registry.servicer(),
                    plane.event_feed.servicer(),
                    plane.lifecycle.servicer(),
                    plane.search.servicer(),
                    plane.memories.servicer(),
                    plane.templates.servicer(),
                    plane.bundles.servicer(),
                    plane.models.servicer(),
                    plane.budgets.servicer(),
                ),
                "a2a_proxy_targets": await at(
                    plane.activities.servicer(),
                    plane.broadcast_feed.servicer(),
                    plane.queue.servicer(),
                    *([proxy] if proxy else []),
                ),
                "provisioner_targets": await at(plane.logs.servicer()),
                **settings,
            }
        )
        plane.url = await stack.enter_async_context(run_gateway(plane.settings))
        plane.http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=plane.url, trust_env=False, verify=False)  # noqa: S501 - there is no TLS
        )
        yield plane


@pytest.fixture
async def plane() -> AsyncIterator[GatewayUnderTest]:
    async with run_gateway_under_test() as plane:
        yield plane
