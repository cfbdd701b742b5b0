"""Knows which workspaces have work in this replica, and which had some since the last report."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

from services.a2a_proxy.model import WorkspaceId


class WorkTracker:
    """The work of workspaces: messages to and from them, and dispatches, which last as long as their streams."""

    def __init__(self) -> None:
        self._open: dict[WorkspaceId, int] = {}
        self._ended: dict[WorkspaceId, float] = {}
        """When the last work of a workspace ended, in seconds of the event loop; without what was reported."""

    def begin(self, workspace_id: WorkspaceId) -> None:
        """Note that work of a workspace begins."""
        self._open[workspace_id] = self._open.get(workspace_id, 0) + 1

    def end(self, workspace_id: WorkspaceId, *, was_work: bool = True) -> None:
        """Note that it has ended, once for each that began; if it was none after all, it leaves no trace."""
        self._open[workspace_id] -= 1
        if not self._open[workspace_id]:
            del self._open[workspace_id]
        if was_work:
            self._ended[workspace_id] = asyncio.get_running_loop().time()

    def note(self, workspace_id: WorkspaceId) -> None:
        """Note work that takes no time."""
        self._ended[workspace_id] = asyncio.get_running_loop().time()

    @contextmanager
    def hold(self, workspace_id: WorkspaceId) -> Iterator[None]:
        """Count work of a workspace for the length of the block."""
        self.begin(workspace_id)
        try:
            yield
        finally:
            self.end(workspace_id)

    def take(self) -> dict[WorkspaceId, timedelta]:
        """Return how long ago the work of workspaces ended, zero for work in hand. What has ended is told once."""
        now = asyncio.get_running_loop().time()
        ended, self._ended = self._ended, {}
        ages = {workspace_id: timedelta(seconds=now - at) for workspace_id, at in ended.items()}
        return ages | dict.fromkeys(self._open, timedelta())

    def put_back(self, ages: Mapping[WorkspaceId, timedelta]) -> None:
        """Keep for the next report what could not be reported."""
        now = asyncio.get_running_loop().time()
        for workspace_id, age in ages.items():
            at = now - age.total_seconds()
            self._ended[workspace_id] = max(self._ended.get(workspace_id, at), at)
