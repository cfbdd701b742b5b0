"""Stores with messages why they wait, without reading all of them again at each look at their target."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import timedelta

from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.queue.model import WaitReason
from services.a2a_proxy.queue.store.transaction import QueueStore

MAX_NOTED = 1000
"""Messages of a target that are looked at in one transaction."""

REPEAT_INTERVAL = timedelta(seconds=30)
"""Time after which the messages are looked at from the oldest one on, for those that returned to the queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pass:
    """How far the messages of a target have been told why they wait."""

    reason: WaitReason
    error: str
    began_at: float
    last_seq: int = 0
    has_more: bool = True


class WaitingNotes:
    """Tells the messages of targets why they wait: the oldest first, and later only those that were accepted since."""

    def __init__(
        self, store: QueueStore, *, limit: int = MAX_NOTED, repeat_interval: timedelta = REPEAT_INTERVAL
    ) -> None:
        self._store = store
        self._limit = limit
        self._repeat_seconds = repeat_interval.total_seconds()
        self._passes: dict[WorkspaceId, _Pass] = {}

    async def note(self, target: WorkspaceId, reason: WaitReason, error: str) -> None:
        """Store why the next messages of a target wait; raises `Unavailable`."""
        now = asyncio.get_running_loop().time()
        present = self._passes.get(target)
        if (
            present is None
            or (present.reason, present.error) != (reason, error)
            or (not present.has_more and now >= present.began_at + self._repeat_seconds)
        ):
            present = _Pass(reason=reason, error=error, began_at=now)
        async with self._store.begin() as tx:
            last_seq, has_more = await tx.note_waiting(target, reason, error, after=present.last_seq, limit=self._limit)
        self._passes[target] = replace(present, last_seq=last_seq, has_more=has_more)

    def keep(self, targets: Collection[WorkspaceId]) -> None:
        """Forget the targets that are not among these."""
        self._passes = {target: present for target, present in self._passes.items() if target in targets}
