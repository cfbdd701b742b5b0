"""The A2A side of the agent, loaded while the agent registers."""

import asyncio
from typing import TYPE_CHECKING, Any

from molecule_agent.adapter import BaseAdapter
from molecule_agent.import_filter import hide_modules
from molecule_agent.message_index import MessageIndex
from molecule_agent.task_tracker import TaskTracker

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import Receive, Scope, Send

    from molecule_agent.request_handler import IdempotentRequestHandler


class A2aApplication:
    """
    A2A 1.0 and 0.3 by JSON-RPC, plain and streaming, as an ASGI application.

    Importing the SDK takes longer than all the rest of the start together. Therefore the agent listens and
    registers first; messages that come earlier wait here for the second or two.
    """

    def __init__(self, card: dict[str, Any], adapter: BaseAdapter, work: TaskTracker) -> None:
        self._card = card
        self._adapter = adapter
        self._work = work
        self._loaded = asyncio.Event()
        self._requests: IdempotentRequestHandler | None = None
        self._app: Starlette | None = None

    async def load(self) -> None:
        """Import the SDK beside the running loop and open for messages."""
        self._requests, self._app = await asyncio.to_thread(self._build)
        self._loaded.set()

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        await self._loaded.wait()
        assert self._app is not None  # noqa: S101 - tells mypy what the event means
        await self._app(scope, receive, send)

    async def close(self) -> None:
        """Interrupt what is still under way."""
        if self._requests is not None:
            await self._requests.aclose()

    def _build(self) -> "tuple[IdempotentRequestHandler, Starlette]":
        with hide_modules("fastapi", "opentelemetry", "pygments", "rich", "sqlalchemy"):
            from a2a.client.card_resolver import parse_agent_card
            from a2a.server.routes import create_jsonrpc_routes
            from starlette.applications import Starlette

            from molecule_agent.executor import Executor
            from molecule_agent.request_handler import IdempotentRequestHandler
        requests = IdempotentRequestHandler(
            Executor(self._adapter, self._work), parse_agent_card(dict(self._card)), MessageIndex()
        )
        return requests, Starlette(routes=create_jsonrpc_routes(requests, "/", enable_v0_3_compat=True))
