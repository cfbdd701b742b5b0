"""A gateway with the paths of messages alone, in front of a whole A2A proxy."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from starlette.responses import Response

from gateway.exchange import ExchangePool
from gateway.routes.a2a import MessageApp
from gateway.routes.a2a_rest import RestApp
from molecule_http.limits import ConnectionLimits
from services.chassis import clients
from services.chassis.errors import Unauthenticated
from services.chassis.identity import Identity, Kind
from tests.a2a_proxy.running_proxy import RunningProxy, run_proxy
from tests.http.conftest import run_server

TARGET = "b798b45d-16e4-4f00-a409-234e988928c7"
OTHER = "b798b45d-16e4-4f00-a409-234e988928c8"
MEBIBYTE = 1024 * 1024


@dataclass
class FakeIdentityProvider:
    """Identifies every caller as the operator and records the queries; refuses the bearer `wrong`."""

    received: list[tuple] = field(default_factory=list)

    async def identify(self, credential, check):
        self.received.append((credential.bearer, check.gate, check.scope, check.workspace_id, check.claimed))
        if credential.bearer == "wrong":
            error = Unauthenticated("invalid caller auth token")
            error.domain, error.reason = "molecule.auth.v1", "INVALID_BEARER"
            raise error
        return Identity(kind=Kind.ADMIN)


@dataclass
class GatewayWithProxy:
    """A gateway with the paths of messages alone, in front of a real A2A proxy."""

    url: str
    http: aiohttp.ClientSession
    proxy: RunningProxy
    callers: FakeIdentityProvider
    exchanges: ExchangePool

    @property
    def active_calls(self) -> int:
        """The calls that the gateway has not freed."""
        return sum(exchange.active_calls for exchange in self.exchanges._exchanges)

    def post(self, body: bytes | dict, *, path: str | None = None, **options):
        data = io.BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
        return self.http.post(self.url + (path or f"/workspaces/{TARGET}/a2a"), data=data, **options)


@asynccontextmanager
async def run_gateway_with_proxy(
    database_url: str, *, limits: ConnectionLimits | None = None, **settings
) -> AsyncIterator[GatewayWithProxy]:
    """Run both for the length of the block; the settings are those of the proxy, the limits those of connections."""
    callers = FakeIdentityProvider()
    async with (
        run_proxy(database_url, **settings) as proxy,
        clients.open_channel(proxy.address, caller_service="gateway") as line,
        asyncio.TaskGroup() as group,
    ):
        exchanges = ExchangePool([line])
        running = group.create_task(exchanges.run())
        async with run_server(application(callers, exchanges), limits) as url, aiohttp.ClientSession() as http:
            yield GatewayWithProxy(url=url, http=http, proxy=proxy, callers=callers, exchanges=exchanges)
        running.cancel()


def application(callers: FakeIdentityProvider, exchanges: ExchangePool) -> MessageApp:
    shown = {"base_url": lambda _: "https://plane.example", "bearer_needed": True}
    bindings = RestApp(callers, exchanges, fallback=elsewhere, **shown)
    return MessageApp(callers, exchanges, fallback=bindings, **shown)


async def elsewhere(scope, receive, send) -> None:
    await Response(status_code=299)(scope, receive, send)


def hello(method: str = "message/send", **fields) -> dict:
    message = {"messageId": "m-1", "parts": [{"kind": "text", "text": "hi"}]}
    return {"jsonrpc": "2.0", "id": "seven", "method": method, "params": {"message": message}} | fields
