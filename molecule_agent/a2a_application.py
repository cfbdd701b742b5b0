"""The A2A server of the agent; it imports the SDK while the agent registers."""

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from molecule_agent.adapter import BaseAdapter
from molecule_agent.delivery_journal import DeliveryJournal
from molecule_agent.import_filter import hide_modules
from molecule_agent.message_index import MessageIndex
from molecule_agent.task_tracker import TaskTracker

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from molecule_agent.request_handler import IdempotentRequestHandler
    from molecule_agent.strict_json import StrictJsonApplication

log = logging.getLogger(__name__)


class A2aApplication:
    """
    An ASGI application that serves A2A 1.0 and 0.3 over JSON-RPC, plain and streaming.

    Importing the SDK takes longer than the rest of the start. The agent therefore listens and registers first;
    requests that arrive before the import ends wait for it, which takes one or two seconds.
    """

    def __init__(
        self, card: dict[str, Any], adapter: BaseAdapter, tracker: TaskTracker, journal: DeliveryJournal
    ) -> None:
        self._card = card
        self._adapter = adapter
        self._tracker = tracker
        self._journal = journal
        self._loaded = asyncio.Event()
        self._handler: IdempotentRequestHandler | None = None
        self._app: StrictJsonApplication | None = None

    async def load(self) -> None:
        """Import the SDK and read the journal in a thread, then accept requests."""
        handler, self._app = await asyncio.to_thread(self._build)
        entries = await asyncio.to_thread(self._journal.open)
        await handler.restore(entries, may_run_again=_may_run_again(self._adapter))
        self._handler = handler
        self._loaded.set()

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        await self._loaded.wait()
        assert self._app is not None  # noqa: S101 - the event guarantees it, mypy cannot know
        await self._app(scope, receive, send)

    async def close(self) -> None:
        """Cancel the tasks that still run."""
        if self._handler is not None:
            await self._handler.aclose()
        self._journal.close()

    def _build(self) -> "tuple[IdempotentRequestHandler, StrictJsonApplication]":
        with hide_modules("fastapi", "opentelemetry", "pygments", "rich", "sqlalchemy"):
            from a2a.server.routes import create_jsonrpc_routes
            from a2a.types import AgentCard
            from google.protobuf.json_format import ParseDict
            from starlette.applications import Starlette

            from molecule_agent.executor import Executor
            from molecule_agent.request_handler import IdempotentRequestHandler
            from molecule_agent.strict_json import StrictJsonApplication
        card = ParseDict(self._card, AgentCard(), ignore_unknown_fields=True)
        handler = IdempotentRequestHandler(Executor(self._adapter, self._tracker), card, MessageIndex(self._journal))
        server = Starlette(routes=create_jsonrpc_routes(handler, "/", enable_v0_3_compat=True))
        return handler, StrictJsonApplication(server)


def _may_run_again(adapter: BaseAdapter) -> bool:
    try:
        return adapter.may_run_again()
    except Exception:
        log.exception("the adapter could not say whether interrupted messages may run again")
        return False
