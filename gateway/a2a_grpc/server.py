"""The gRPC server of the gateway."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from starlette.types import ASGIApp, Scope

from gateway.a2a_grpc.app import RPC_KEY
from gateway.a2a_grpc.calls import MAX_CALLS, CallLimits
from gateway.a2a_grpc.exchange import RpcExchange
from gateway.a2a_grpc.metadata import build_headers, find_workspace, parse_peer
from gateway.a2a_grpc.methods import LEGACY_SERVICE, METHODS, RpcMethod
from gateway.errors import INTERNAL_ERROR_TEXT, RateLimitExceeded
from gateway.message_body import MAX_MESSAGE_BYTES
from gateway.middleware import ROUTE_KEY
from gateway.proxy_headers import ProxyHeaders
from gateway.rest_errors import render_rest_error
from molecule_a2a.model import Dialect
from services.chassis.settings import InvalidSettings

log = structlog.get_logger()

MAX_ENVELOPE_BYTES = 64 * 1024
"""What a request may have around its message."""

OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES + MAX_ENVELOPE_BYTES),
    ("grpc.max_concurrent_streams", 128),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.absolute_max_metadata_size", 16 * 1024),
    ("grpc.max_allowed_incoming_connections", 4096),
    ("grpc.max_connection_idle_ms", 300_000),
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.so_reuseport", 0),
)

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]
else:  # this class is generic in the type stubs only
    Handler = grpc.RpcMethodHandler


class A2aService(grpc.GenericRpcHandler):
    """Passes each RPC to an ASGI application. It reads and writes messages as bytes, so that it decides when."""

    def __init__(self, app: ASGIApp, *, proxy_headers: ProxyHeaders, host: str, max_calls_per_client: int) -> None:
        """`host` is a name of the plane."""
        self._app = app
        self._proxy_headers = proxy_headers
        self._host = host
        self._limits = CallLimits(max_calls_per_client)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """Return the handler of a method; `None` for a method that the service does not have."""
        path = handler_call_details.method
        method = METHODS.get(path)
        if method is None:
            return LEGACY_HANDLER if path.startswith(LEGACY_SERVICE) else None
        answer: Any = partial(self._answer, method)
        return grpc.stream_stream_rpc_method_handler(answer)

    async def _answer(self, method: RpcMethod, _: object, context: Any) -> None:  # noqa: ANN401 - generic in the stubs only
        scope = self._build_scope(method, context)
        address = self._proxy_headers.client_address(scope)
        exchange = RpcExchange(context, method, self._limits, address)
        try:
            await self._answer_counted(scope, exchange, address)
            await exchange.finish()
        except grpc.aio.AbortError:
            raise
        except Exception:  # gRPC would send its text
            log.exception("rpc failed", method=method.path)
            await context.abort(grpc.StatusCode.INTERNAL, INTERNAL_ERROR_TEXT)

    async def _answer_counted(self, scope: Scope, exchange: RpcExchange, address: str) -> None:
        try:
            with self._limits.count(address, is_trusted=self._proxy_headers.trusts_peer(scope)):
                await self._app(scope, exchange.receive, exchange.send)
        except RateLimitExceeded as error:
            await render_rest_error(error, Dialect.CURRENT)(scope, exchange.receive, exchange.send)

    def _build_scope(self, method: RpcMethod, context: Any) -> Scope:  # noqa: ANN401 - generic in the stubs only
        metadata = context.invocation_metadata() or ()
        return {
            "type": "http",
            "http_version": "2",
            "method": "POST",
            "scheme": "http",
            "path": method.path,
            "raw_path": b"/workspaces//a2a/rest",  # so that early refusals have the form of the HTTP+JSON binding
            "query_string": b"",
            "headers": build_headers(metadata, host=self._host, seconds_left=context.time_remaining()),
            "client": parse_peer(context.peer()),
            ROUTE_KEY: method.path,
            RPC_KEY: {"method": method, "workspace": find_workspace(metadata)},
        }


async def _refuse_legacy(_: object, context: Any) -> None:  # noqa: ANN401 - generic in the stubs only
    """Tell a client of an earlier version what to do; without this it would only learn that the method is unknown."""
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, LEGACY_REFUSAL)


LEGACY_REFUSAL = (
    "this server speaks gRPC of A2A 1.0 (lf.a2a.v1.A2AService), not of A2A 0.3 (a2a.v1.A2AService): with A2A 0.3, use "
    "JSON-RPC or HTTP+JSON at the addresses of the agent card"
)

LEGACY_HANDLER: Handler = grpc.stream_stream_rpc_method_handler(_refuse_legacy)


@asynccontextmanager
async def bind_server(address: str) -> AsyncIterator[tuple[grpc.aio.Server, int]]:
    """Yield a server that owns an address, and its port; raises `InvalidSettings` if the address cannot be used."""
    server = grpc.aio.server(options=OPTIONS, maximum_concurrent_rpcs=MAX_CALLS)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError:
        raise InvalidSettings(f"cannot listen on {address}") from None
    try:
        yield server, port
    finally:
        await server.stop(None)


@asynccontextmanager
async def run_server(server: grpc.aio.Server, service: A2aService, *, shutdown_seconds: float) -> AsyncIterator[None]:
    """Serve within the `with` block; at its end, active calls have `shutdown_seconds` to finish."""
    server.add_generic_rpc_handlers((service,))
    await server.start()
    try:
        yield
    finally:
        await server.stop(shutdown_seconds)
