"""The register of contexts: a conversation belongs to the caller that began it."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Sequence
from datetime import timedelta
from itertools import islice

import structlog

from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.tasks.model import ContextKey, TaskOwner
from services.a2a_proxy.tasks.store.contexts import ContextStore
from services.chassis.batching import Batcher
from services.chassis.errors import Unavailable

log = structlog.get_logger()

MAX_BATCH_CONTEXTS = 500
"""Contexts that one statement stores."""

BATCH_INTERVAL_SECONDS = 0.002

MAX_CACHED_CONTEXTS = 10_000
"""Contexts whose owners are kept in memory: those that were used last."""

MAX_WAITING_CONTEXTS = 10_000
"""Contexts of answers that wait to be stored; while the database is away, the oldest ones are dropped beyond it."""

MAX_CONTEXTS_PER_OWNER = 20_000
"""Contexts of one caller at one workspace that are kept: those that were used last. No caller displaces another's."""

TRIM_INTERVAL_CONTEXTS = 1000
"""New contexts of a caller at a workspace after which they are trimmed."""

SEEN_INTERVAL = timedelta(hours=1)
"""Time after which it is stored again that a context was used."""

WRITE_INTERVAL_SECONDS = 0.01
"""Time between two statements that store the contexts of answers."""

RETRY_INTERVAL_SECONDS = 1.0

MAX_ROWS = 1000
"""Contexts that one transaction erases."""


class ContextRegister:
    """Knows the owners of contexts: the latest in memory, and all in the database."""

    def __init__(self, store: ContextStore, *, max_per_owner: int = MAX_CONTEXTS_PER_OWNER) -> None:
        self._store = store
        self._max_per_owner = max_per_owner
        self._cached: OrderedDict[ContextKey, tuple[TaskOwner, float]] = OrderedDict()
        """Each with the time at which it was stored that the context was used."""
        self._waiting: OrderedDict[ContextKey, TaskOwner] = OrderedDict()
        self._has_waiting = asyncio.Event()
        self._noted: Counter[tuple[WorkspaceId, TaskOwner]] = Counter()
        self._batcher: Batcher[tuple[ContextKey, TaskOwner], TaskOwner] = Batcher(
            self._note_batch, capacity=MAX_BATCH_CONTEXTS, interval_seconds=BATCH_INTERVAL_SECONDS
        )

    async def claim(self, target: WorkspaceId, context_id: str, caller: TaskOwner) -> TaskOwner:
        """Return the owner of a context that a message names: its caller, if the plane has never seen the context.

        A context that is in memory costs nothing, and any other one statement. Raises `Unavailable`.
        """
        key, now = (target, context_id), asyncio.get_running_loop().time()
        owner, stored_at = self._cached.get(key, (None, 0.0))
        if owner is None:
            owner = await self._batcher.submit((key, caller))
            self._cache(key, owner, now)
        elif now >= stored_at + SEEN_INTERVAL.total_seconds():
            self._write_later(key, owner, now)
        else:
            self._cached.move_to_end(key)
        return owner

    def note(self, target: WorkspaceId, context_id: str, owner: TaskOwner) -> None:
        """Note the context that a caller learns from an answer; it is stored a moment later.

        Nobody else can know an id that an agent has just made, so the answer does not wait for the database.
        """
        key = (target, context_id)
        if key not in self._cached:
            self._write_later(key, owner, asyncio.get_running_loop().time())

    async def close(self) -> None:
        """Store the contexts that wait, because the service stops."""
        try:
            await self.flush()
        except Unavailable:
            log.warning("contexts not stored", contexts=len(self._waiting))

    async def run(self) -> None:
        """Store the contexts of answers until cancelled."""
        while True:
            await self._has_waiting.wait()
            try:
                await self.flush()
            except Unavailable:
                log.warning("contexts not stored", contexts=len(self._waiting))
                await asyncio.sleep(RETRY_INTERVAL_SECONDS)
            await asyncio.sleep(WRITE_INTERVAL_SECONDS)

    async def flush(self) -> None:
        """Store the contexts that wait; raises `Unavailable`."""
        while self._waiting:
            batch = list(islice(self._waiting.items(), MAX_BATCH_CONTEXTS))
            owners = await self._note_batch(batch)
            now = asyncio.get_running_loop().time()
            for (key, owner), stored in zip(batch, owners, strict=True):
                if self._waiting.get(key) is owner:
                    del self._waiting[key]
                self._cache(key, stored, now)
        self._has_waiting.clear()

    async def clean(self, age: timedelta) -> None:
        """Erase the contexts that were not used for `age`; raises `Unavailable`."""
        for target in await self._store.list_targets():
            while await self._store.delete_old(target, age=age, limit=MAX_ROWS) == MAX_ROWS:
                pass

    async def purge(self, workspace_id: WorkspaceId) -> None:
        """Erase every context at a purged workspace, and every one that it began; raises `Unavailable`."""
        while await self._store.purge(workspace_id, limit=MAX_ROWS):
            pass
        self._forget(workspace_id)

    def _forget(self, workspace_id: WorkspaceId) -> None:
        for key, (owner, _) in list(self._cached.items()):
            if workspace_id in {key[0], owner.workspace_id}:
                self._cached.pop(key, None)
                self._waiting.pop(key, None)

    def _write_later(self, key: ContextKey, owner: TaskOwner, now: float) -> None:
        self._cache(key, owner, now)
        self._waiting[key] = owner
        if len(self._waiting) > MAX_WAITING_CONTEXTS:
            self._waiting.popitem(last=False)
        self._has_waiting.set()

    def _cache(self, key: ContextKey, owner: TaskOwner, stored_at: float) -> None:
        self._cached[key] = owner, stored_at
        self._cached.move_to_end(key)
        if len(self._cached) > MAX_CACHED_CONTEXTS:
            self._cached.popitem(last=False)

    async def _note_batch(self, batch: Sequence[tuple[ContextKey, TaskOwner]]) -> Sequence[TaskOwner]:
        owners = await self._store.note(dict(reversed(batch)))  # of two callers the first one counts
        for (target, _), owner in owners.items():
            self._noted[target, owner] += 1
            if self._noted[target, owner] >= TRIM_INTERVAL_CONTEXTS:
                del self._noted[target, owner]
                await self._store.trim(target, owner, keep=self._max_per_owner, limit=10 * TRIM_INTERVAL_CONTEXTS)
        return [owners[key] for key, _ in batch]
