"""A WebSocket that tells when its connection ends. Only servers with WebSockets import this module."""

import asyncio
from collections.abc import Callable

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

CLOSE_SECONDS = 20.0
"""Time for the closing handshake, and for the client to read what was sent before."""


class CountedWebSocket(WebSocketsSansIOProtocol):
    """A WebSocket on a connection that the server counts; a client that does not read cannot keep it open."""

    on_connection_lost: Callable[[], None] | None = None
    _abort_timer: asyncio.TimerHandle | None = None

    async def run_asgi(self) -> None:
        """Run the application, and end the connection soon after it."""
        try:
            await super().run_asgi()
        finally:
            self._abort_later()

    def keepalive_timeout(self) -> None:
        """Close a connection whose client does not answer."""
        super().keepalive_timeout()
        self._abort_later()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the server that the connection has ended."""
        super().connection_lost(exc)
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        if self.on_connection_lost is not None:
            self.on_connection_lost()

    def _abort_later(self) -> None:
        if self._abort_timer is None and not self.disconnected:
            self._abort_timer = self.loop.call_later(CLOSE_SECONDS, self.transport.abort)
