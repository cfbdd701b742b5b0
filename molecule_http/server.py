"""Assembles an HTTP server around an ASGI application. Signals are left to the process."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from molecule_http.connection import HttpServerState
from molecule_http.connection_table import ConnectionTable
from molecule_http.descriptors import raise_descriptor_limit
from molecule_http.limit_log import LimitLog
from molecule_http.limits import ConnectionLimits, max_connections, max_connections_per_address
from molecule_http.protocol import HttpProtocol

LISTEN_BACKLOG = 2048
"""Connections that may wait to be accepted."""

TICKS_PER_CHECK = 5
"""uvicorn ticks ten times a second."""


class HttpServer(uvicorn.Server):
    """A server that limits its connections and leaves signals to the process, which may run several services."""

    def __init__(
        self,
        application: Any,  # noqa: ANN401 - ASGI has many types for one thing
        *,
        shutdown_seconds: int,
        limits: ConnectionLimits | None = None,
        is_exempt: Callable[[str], bool] = lambda _: False,
        websocket: type[asyncio.Protocol] | None = None,
        **websocket_options: Any,  # noqa: ANN401 - passed on to uvicorn
    ) -> None:
        """Prepare a server of `application`.

        `shutdown_seconds` is the time for active requests to finish. `is_exempt` says of which addresses any number of
        connections is admitted. Without a `websocket` protocol the server ignores offers to upgrade.
        """
        super().__init__(
            uvicorn.Config(
                application,
                loop="none",
                http=HttpProtocol,
                ws=websocket or "none",
                interface="asgi3",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=shutdown_seconds,
                backlog=LISTEN_BACKLOG,
                **websocket_options,
            )
        )
        limits = limits or ConnectionLimits()
        total = max_connections(raise_descriptor_limit())
        log = LimitLog()
        table = ConnectionTable(
            total=total, per_address=max_connections_per_address(total, limits), is_exempt=is_exempt, log=log
        )
        self.server_state: HttpServerState = HttpServerState(limits, table, log)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Check the connections that are past their deadline."""
        if counter % TICKS_PER_CHECK == 0:
            self.server_state.table.check(asyncio.get_running_loop().time())
        return await super().on_tick(counter)
