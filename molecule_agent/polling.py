"""Fetches messages as soon as the plane says that this agent polls, and ends with the agent."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from molecule_agent.adapter import BaseAdapter
from molecule_agent.clock import Clock
from molecule_agent.plane_client import PlaneClient
from molecule_agent.settings import Settings
from molecule_agent.task_tracker import TaskTracker

if TYPE_CHECKING:
    from molecule_agent.inbox.worker import InboxWorker

POLL = "poll"


class Polling:
    """The inbox of an agent whose delivery mode is `poll`; idle with any other."""

    def __init__(
        self,
        *,
        settings: Settings,
        plane: PlaneClient,
        adapter: BaseAdapter,
        tracker: TaskTracker,
        clock: Clock,
        register: Callable[[], Awaitable[str]],
    ) -> None:
        self._settings = settings
        self._plane = plane
        self._adapter = adapter
        self._tracker = tracker
        self._clock = clock
        self._register = register
        self._is_needed = asyncio.Event()
        self._stack = ExitStack()
        self._worker: InboxWorker | None = None

    async def register(self) -> str:
        """Register the agent and return the delivery mode in force. Raises PlaneError."""
        mode = await self._register()
        if mode == POLL:
            self._is_needed.set()
        return mode

    async def run(self) -> None:
        """Wait until the agent is registered and polls, then fetch messages until cancelled. Raises JournalError."""
        await self._is_needed.wait()
        # Only an agent that polls needs these, and most do not.
        from molecule_agent.inbox.client import InboxClient
        from molecule_agent.inbox.journal import Journal
        from molecule_agent.inbox.turns import Turns
        from molecule_agent.inbox.worker import InboxWorker

        journal = self._stack.enter_context(Journal.open(self._settings.root / "configs"))
        lease_seconds = int(self._settings.lease.total_seconds())
        self._worker = InboxWorker(
            client=InboxClient(self._plane, self._settings.workspace_id, lease_seconds=lease_seconds),
            journal=journal,
            turns=Turns(self._adapter, self._tracker),
            lease_seconds=lease_seconds,
            heartbeat_seconds=self._settings.heartbeat.total_seconds(),
            register=self.register,
            clock=self._clock,
            random_fraction=random.random,
        )
        await self._worker.run()

    async def wait_until_idle(self) -> None:
        """Return once every fetched message is answered and acknowledged."""
        if self._worker is not None:
            await self._worker.wait_until_idle()

    async def close(self) -> None:
        """Interrupt the messages that are being worked on, and close the journal."""
        if self._worker is not None:
            await self._worker.close()
        self._stack.close()
