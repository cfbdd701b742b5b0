"""Serves the gateway over HTTP and gRPC: binds the port first and drains requests at the end."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_address

import grpc
import structlog
from starlette.types import ASGIApp

from gateway.a2a_grpc.server import bind_server, run_server
from gateway.agent_listener import BearerRequired
from gateway.app import Gateway, start_gateway
from gateway.settings import Settings
from molecule_http.limits import ConnectionLimits
from molecule_http.server import LISTEN_BACKLOG, HttpServer
from molecule_http.websocket import CountedWebSocket
from services.chassis.settings import InvalidSettings

log = structlog.get_logger()

SHUTDOWN_TIMEOUT_SECONDS = 10
"""Time for active requests to finish once the gateway is asked to stop."""

MAX_CLIENT_FRAME_BYTES = 64 * 1024
"""Size of a WebSocket message from a client, which the gateway reads and ignores."""

WEBSOCKET_PING_INTERVAL_SECONDS = 30.0
"""Time between two pings, and until the answer to one is overdue."""


@asynccontextmanager
async def run_gateway(settings: Settings) -> AsyncIterator[str]:
    """Run the gateway within the `with` block; yields its URL.

    Raises `InvalidSettings` if the address is in use. If a background task fails, the block is cancelled and the error
    raised.
    """
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(_bind_socket(settings.host, settings.port))
        agents = [
            stack.enter_context(_bind_socket(host, listener.getsockname()[1])) for host in _list_agent_hosts(settings)
        ]
        rpc_server = await _bind_rpc_server(stack, settings)
        gateway = await stack.enter_async_context(start_gateway(settings))
        await stack.enter_async_context(_run_http_server(gateway, gateway.app, settings, listener))
        for agent_listener in agents:
            app = BearerRequired(gateway.app)
            await stack.enter_async_context(_run_http_server(gateway, app, settings, agent_listener))
        if rpc_server is not None:
            await stack.enter_async_context(
                run_server(rpc_server, gateway.rpc_service, shutdown_seconds=SHUTDOWN_TIMEOUT_SECONDS)
            )
        url = _format_url(listener)
        log.info("serving", address=url, grpc=settings.grpc_listen, agents=settings.agent_bind)
        yield url
    log.info("stopped")


@asynccontextmanager
async def _run_http_server(
    gateway: Gateway, app: ASGIApp, settings: Settings, listener: socket.socket
) -> AsyncIterator[None]:
    server = HttpServer(
        app,
        shutdown_seconds=SHUTDOWN_TIMEOUT_SECONDS,
        limits=ConnectionLimits(connections_per_address=settings.max_connections_per_address),
        is_exempt=partial(_is_in_networks, networks=settings.trusted_proxies or ()),
        websocket=CountedWebSocket,
        ws_max_size=MAX_CLIENT_FRAME_BYTES,
        ws_ping_interval=WEBSOCKET_PING_INTERVAL_SECONDS,
        ws_ping_timeout=WEBSOCKET_PING_INTERVAL_SECONDS,
        ws_per_message_deflate=False,  # a compressor for each of thousands of sockets costs more than it saves
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve(sockets=[listener]), name="http")
        try:
            yield
        finally:
            gateway.end_subscriptions()
            server.should_exit = True


async def _bind_rpc_server(stack: AsyncExitStack, settings: Settings) -> grpc.aio.Server | None:
    """Return the server of the gRPC binding, which has its address; `None` if the settings ask for none."""
    if not settings.grpc_listen:
        return None
    server, _ = await stack.enter_async_context(bind_server(settings.grpc_listen))
    return server


@contextmanager
def _bind_socket(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            listener.bind((host, port))
            listener.listen(LISTEN_BACKLOG)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no usable address"
            raise InvalidSettings(f"cannot listen on {host}:{port}: {reason}") from None
        yield listener


def _list_agent_hosts(settings: Settings) -> tuple[str, ...]:
    """Return the second address to listen on, if there is one."""
    return (settings.agent_bind,) if settings.agent_bind else ()


def _format_url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _is_in_networks(address: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    """Whether an address belongs to a trusted proxy, through which many clients come."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return any(found in network for network in networks)
