"""Serves the gateway over HTTP: binds the port first and drains requests at the end."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.app import Gateway, start_gateway
from gateway.settings import Settings
from services.chassis.settings import InvalidSettings

log = structlog.get_logger()

SHUTDOWN_TIMEOUT_SECONDS = 10
"""Time for active requests to finish once the gateway is asked to stop."""

LISTEN_BACKLOG = 2048
"""Connections that may wait to be accepted."""

MAX_REQUEST_HEAD_BYTES = 64 * 1024
"""Size of a request line and headers. The parser has no limit of its own."""

MAX_CLIENT_FRAME_BYTES = 64 * 1024
"""Size of a WebSocket message from a client, which the gateway reads and ignores."""

WEBSOCKET_PING_INTERVAL_SECONDS = 30.0
"""Time between two pings, and until the answer to one is overdue."""

MAX_COALESCED_BYTES = 64 * 1024
"""Bytes that are held until the end of a turn of the event loop."""


class CoalescingTransport:
    """A transport that sends what is written in one turn of the event loop as one packet: a head with its body.

    Everything but writing and closing is delegated to the wrapped transport.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._held: list[bytes] = []
        self._held_bytes = 0

    def write(self, data: bytes) -> None:
        """Send data by the end of this turn; large data at once, because joining it would copy it."""
        if len(data) > MAX_COALESCED_BYTES:
            self._flush()
            self._transport.write(data)
            return
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > MAX_COALESCED_BYTES:
            self._flush()

    def close(self) -> None:
        """Send the held data and close the connection."""
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the attributes of any transport
        return getattr(self._transport, name)

    def _flush(self) -> None:
        if self._held:
            self._transport.write(b"".join(self._held))
            self._held.clear()
            self._held_bytes = 0


class GatewayHttpProtocol(HttpToolsProtocol):
    """HTTP/1.1 with a limit for request heads and coalesced writes."""

    _head_bytes = 0
    _in_head = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wrap the transport of a new connection."""
        super().connection_made(CoalescingTransport(transport))  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        """Parse received data; close the connection if the head exceeds its limit."""
        super().data_received(data)
        self._head_bytes = self._head_bytes + len(data) if self._in_head else 0
        if self._head_bytes > MAX_REQUEST_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("Request head too large.")

    def on_message_begin(self) -> None:
        """Note that a head begins."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note that the head is complete."""
        self._in_head = False
        super().on_headers_complete()


class HttpServer(uvicorn.Server):
    """A server that leaves signals to the process, which may run several services."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


@asynccontextmanager
async def run_gateway(settings: Settings) -> AsyncIterator[str]:
    """Run the gateway within the `with` block; yields its URL.

    Raises `InvalidSettings` if the address is in use. If a background task fails, the block is cancelled and the error
    raised.
    """
    with _bind_socket(settings.host, settings.port) as listener:
        async with start_gateway(settings) as gateway, _run_http_server(gateway, listener):
            url = _format_url(listener)
            log.info("serving", address=url)
            yield url
    log.info("stopped")


@asynccontextmanager
async def _run_http_server(gateway: Gateway, listener: socket.socket) -> AsyncIterator[None]:
    config = uvicorn.Config(
        gateway.app,
        http=GatewayHttpProtocol,
        ws="websockets-sansio",
        ws_max_size=MAX_CLIENT_FRAME_BYTES,
        ws_ping_interval=WEBSOCKET_PING_INTERVAL_SECONDS,
        ws_ping_timeout=WEBSOCKET_PING_INTERVAL_SECONDS,
        ws_per_message_deflate=False,  # a compressor for each of thousands of sockets costs more than it saves
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_SECONDS,
        backlog=LISTEN_BACKLOG,
    )
    server = HttpServer(config)
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve(sockets=[listener]), name="http")
        try:
            yield
        finally:
            gateway.end_subscriptions()
            server.should_exit = True


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


def _format_url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
