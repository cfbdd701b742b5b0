"""Fixtures: a proxy whose agents reach the push route of a real gateway."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from gateway.app import build_router
from gateway.proxy_headers import ProxyHeaders
from gateway.routes.push import PushRoutes
from services.chassis import clients
from tests.a2a_proxy.fake_gateway import A_WORKSPACE, CALLER, FakeGateway, open_exchange
from tests.a2a_proxy.push.push_agents import Receiver, serve_receiver
from tests.a2a_proxy.running_proxy import RunningProxy, run_proxy
from tests.a2a_proxy.tasks.task_agent import Caller
from tests.gateway.gateway_with_proxy import FakeIdentityProvider
from tests.http.conftest import run_server


class Front:
    """The gateway's routes for push notifications, once there is a proxy behind them."""

    def __init__(self) -> None:
        self._router = None

    def open(self, channel: clients.ServiceChannel) -> None:
        routes = PushRoutes(channel).list_routes()
        self._router = build_router(
            routes, callers=FakeIdentityProvider(), proxy_headers=ProxyHeaders((), ""), is_limited=False
        )

    async def __call__(self, scope, receive, send) -> None:
        await self._router(scope, receive, send)


@dataclass(frozen=True, slots=True, kw_only=True)
class PushPlane:
    """A proxy, the two ways into it, and the address by which agents know it."""

    url: str
    proxy: RunningProxy
    gateway: FakeGateway
    front: Front
    caller: Caller
    """A workspace that sends messages."""


@asynccontextmanager
async def run_plane(database_url: str, **settings) -> AsyncIterator[PushPlane]:
    """Run the proxy with the route of the gateway for the length of the block."""
    async with AsyncExitStack() as stack:
        front = Front()
        url = await stack.enter_async_context(run_server(front))
        proxy = await stack.enter_async_context(run_proxy(database_url, platform_url=url, **settings))
        proxy.registry.set_workspace(CALLER)
        front.open(await stack.enter_async_context(clients.open_channel(proxy.address, caller_service="gateway")))
        gateway = await stack.enter_async_context(open_exchange(proxy))
        yield PushPlane(url=url, proxy=proxy, gateway=gateway, front=front, caller=Caller(gateway, A_WORKSPACE))


@pytest.fixture
async def plane(database_url: str) -> AsyncIterator[PushPlane]:
    async with run_plane(database_url) as plane:
        yield plane


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with serve_receiver(Receiver()) as receiver:
        yield receiver
