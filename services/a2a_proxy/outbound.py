"""Knows when workspaces last sent a message that was answered or accepted, until that is reported."""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import timedelta

from services.a2a_proxy.model import Activity, WorkspaceId


class OutboundTracker:
    """The last successful message from each workspace. A time is reported once."""

    def __init__(self) -> None:
        self._sent: dict[WorkspaceId, float] = {}
        """In seconds of the event loop."""

    def note_rows(self, rows: Iterable[Activity]) -> None:
        """Take the senders from rows of the activity log that were committed."""
        now = asyncio.get_running_loop().time()
        for row in rows:
            if row.source_id is not None and row.activity_type == "a2a_receive" and row.status == "ok":
                self._sent[row.source_id] = now

    def take(self) -> dict[WorkspaceId, timedelta]:
        """Return how long ago workspaces sent a message last, without what was returned before."""
        now = asyncio.get_running_loop().time()
        sent, self._sent = self._sent, {}
        return {workspace_id: timedelta(seconds=now - at) for workspace_id, at in sent.items()}

    def put_back(self, ages: Mapping[WorkspaceId, timedelta]) -> None:
        """Keep for the next report what could not be reported."""
        now = asyncio.get_running_loop().time()
        for workspace_id, age in ages.items():
            self._sent.setdefault(workspace_id, now - age.total_seconds())
