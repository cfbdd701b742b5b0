"""Lets a few workspaces start at once, because booting agents use the processor that the plane needs, too."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from services.provisioner.model import DesiredInstance, WorkspaceId
from services.provisioner.start_queue import StartQueue

SLOT_LIMIT = timedelta(seconds=5)
"""How long a workspace holds its slot while its agent has not registered. It ends only the wait of others: an agent
that is silent for longer probably waits for something else than the processor."""


class StartGate:
    """Gives slots to workspaces that are to be started.

    A slot is held from the start until the workspace leaves, because its agent has registered or its start has failed,
    and for `SLOT_LIMIT` at most.
    """

    def __init__(self, slots: int, *, limit: timedelta = SLOT_LIMIT) -> None:
        self._slots = slots
        self._limit = limit
        self._queue = StartQueue(slots)
        self._expiries: dict[WorkspaceId, asyncio.TimerHandle] = {}
        self._on_turn: Callable[[WorkspaceId], None] = _ignore_turn

    def open(self, on_turn: Callable[[WorkspaceId], None]) -> None:
        """Begin with an empty queue. `on_turn` is called with each workspace that had to wait and may start now."""
        self.close()
        self._on_turn = on_turn

    def close(self) -> None:
        """Forget all workspaces."""
        for expiry in self._expiries.values():
            expiry.cancel()
        self._expiries.clear()
        self._queue = StartQueue(self._slots)
        self._on_turn = _ignore_turn

    def enter(self, desired: DesiredInstance) -> bool:
        """Return whether the workspace may start now; if not, it waits and `on_turn` is called later."""
        self._queue.add(desired.workspace_id, desired.org_id, is_requested=desired.is_requested_start)
        self._fill_slots(present=desired.workspace_id)
        return self._queue.has_slot(desired.workspace_id)

    def leave(self, workspace_id: WorkspaceId) -> None:
        """End the wait of the workspace, or free its slot for the next one."""
        expiry = self._expiries.pop(workspace_id, None)
        if expiry:
            expiry.cancel()
        self._queue.remove(workspace_id)
        self._fill_slots()

    def _fill_slots(self, present: WorkspaceId | None = None) -> None:
        for workspace_id in self._queue.fill_slots():
            loop = asyncio.get_running_loop()
            self._expiries[workspace_id] = loop.call_later(self._limit.total_seconds(), self.leave, workspace_id)
            if workspace_id != present:
                self._on_turn(workspace_id)


def _ignore_turn(_: WorkspaceId) -> None:
    """Nobody starts instances."""
