"""A WebSocket that tells when its connection ends. Only servers with WebSockets import this module."""

from collections.abc import Callable

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class CountedWebSocket(WebSocketsSansIOProtocol):
    """A WebSocket on a connection that the server counts."""

    on_connection_lost: Callable[[], None] | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the server that the connection has ended."""
        super().connection_lost(exc)
        if self.on_connection_lost is not None:
            self.on_connection_lost()
