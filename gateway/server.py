"""Serving the gateway over HTTP: bound before anything else, drained at the end."""

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
"""Seconds that requests under way may take to finish once the gateway is asked to stop."""

LISTEN_BACKLOG = 2048
"""Connections that may wait to be accepted."""


MAX_REQUEST_HEAD_BYTES = 64 * 1024
"""Bytes of a request before its body: the parser itself knows no limit, and a client may never come to an end."""


MAX_CLIENT_FRAME_BYTES = 64 * 1024
"""Bytes of the largest message that a client of a socket may send: nobody listens to it anyway."""

WEBSOCKET_PING_INTERVAL_SECONDS = 30.0
"""Seconds between two pings of a socket, and until an answer to one is given up."""


MAX_COALESCED_BYTES = 64 * 1024
"""Bytes that are held for the end of a turn at most."""


class CoalescingTransport:
    """A transport on which what is written in one turn of the loop leaves at once: a head and its body are one packet.

    Everything but writing and closing is the transport's own.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._held: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Send it by the end of this turn; what is large at once, because putting it together would copy it."""
        if len(data) > MAX_COALESCED_BYTES:
            self._send()
            self._transport.write(data)
            return
        if not self._held:
            self._loop.call_soon(self._send)
        self._held.append(data)
        self._size += len(data)
        if self._size > MAX_COALESCED_BYTES:
            self._send()

    def close(self) -> None:
        """Send what is held, and end the connection."""
        self._send()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever transports have
        return getattr(self._transport, name)

    def _send(self) -> None:
        if self._held:
            self._transport.write(b"".join(self._held))
            self._held.clear()
            self._size = 0


class GatewayHttpProtocol(HttpToolsProtocol):
    """HTTP/1.1 with heads that end, and answers in as few packets as can be."""

    _head = 0
    _in_head = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody is there."""
        super().connection_made(CoalescingTransport(transport))  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        """Take in what has come; a head over its cap ends the connection."""
        super().data_received(data)
        self._head = self._head + len(data) if self._in_head else 0
        if self._head > MAX_REQUEST_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("Request head too large.")

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head has ended."""
        self._in_head = False
        super().on_headers_complete()


class HttpServer(uvicorn.Server):
    """Leaves signals to whoever runs it: several services may share this process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


@asynccontextmanager
async def run_gateway(settings: Settings) -> AsyncIterator[str]:
    """Run the gateway for the length of the block; yields its URL.

    Raises `InvalidSettings` if the address is taken. If a loop fails, the block is cancelled and the failure raised.
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
            gateway.leave()
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
        except OSError as error:
            raise InvalidSettings(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
        yield listener


def _format_url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
