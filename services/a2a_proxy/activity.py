"""The log of what passed, written behind the answers."""

import asyncio
from collections import deque
from collections.abc import Iterable
from datetime import timedelta
from itertools import islice

import structlog

from services.a2a_proxy import events
from services.a2a_proxy.broadcasts import Broadcasts
from services.a2a_proxy.model import Activity, ActivityQuery
from services.a2a_proxy.store import Store
from services.chassis.clock import Clock
from services.chassis.errors import Unavailable

log = structlog.get_logger()

BATCH = 500
"""Rows that one transaction writes at most."""

BATCH_BYTES = 8 * 1024 * 1024
"""Bytes of bodies from which a batch takes no further row."""

FULL = 20_000
"""Rows that may wait to be written before callers have to wait."""

FULL_BYTES = 64 * 1024 * 1024
"""Bytes of bodies that may wait to be written before callers have to wait."""

PAUSE = timedelta(seconds=0.5)
"""Between two attempts while the database is away."""

LAST_ATTEMPTS = 10
"""How often a stopping service tries to write what is left."""

ERASE_AT_ONCE = 5_000
"""Rows that one transaction of the cleaning erases at most."""


class ActivityLog:
    """Collects rows and writes them in batches, in order; never drops one, and slows callers down instead."""

    def __init__(self, store: Store, broadcasts: Broadcasts, clock: Clock, *, delay: timedelta) -> None:
        """With a `delay` of zero nothing is written behind: `record` returns when the row is committed.

        Rows are told to `broadcasts` once they are committed: whoever hears of one can read it.
        """
        self._store = store
        self._broadcasts = broadcasts
        self._clock = clock
        self._delay = delay
        self._rows: deque[Activity] = deque()
        self._bytes = 0
        self._some = asyncio.Event()
        self._many = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    async def room(self) -> None:
        """Return once there is room for what a caller is about to cause."""
        if not self._room.is_set():
            await self._room.wait()

    async def record(self, activity: Activity) -> None:
        """Keep a row: behind the answer, or committed where the log is not written behind."""
        if self._delay:
            self.note(activity)
        else:
            await self.commit(activity)

    def note(self, activity: Activity) -> None:
        """Keep a row, to be written soon."""
        self._rows.append(activity)
        self._bytes += _size(activity)
        self._some.set()
        if len(self._rows) >= BATCH or self._bytes >= BATCH_BYTES:
            self._many.set()
        if len(self._rows) >= FULL or self._bytes >= FULL_BYTES:
            self._room.clear()

    async def commit(self, activity: Activity) -> None:
        """Write a row now; raises `Unavailable`."""
        async with self._store.begin() as tx:
            await tx.append([activity])
        self._tell([activity])

    async def write(self) -> None:
        """Write what is noted, until cancelled. What a cancelled batch leaves is there for `flush`."""
        while True:
            await self._some.wait()
            await self._collected()
            try:
                await self._write_batch()
            except Unavailable:
                await asyncio.sleep(PAUSE.total_seconds())

    async def flush(self) -> None:
        """Write all that is left, before a clean stop."""
        for _ in range(LAST_ATTEMPTS):
            try:
                while self._rows:
                    await self._write_batch()
            except Unavailable:
                await asyncio.sleep(PAUSE.total_seconds())
            else:
                return
        log.error("activity lost: the database stayed away", rows=len(self._rows))

    async def rows(self, query: ActivityQuery) -> list[Activity]:
        """The rows asked for; raises `ActivityCursorGone`."""
        async with self._store.begin() as tx:
            return await tx.rows(query)

    async def clean(self, retention: timedelta) -> None:
        """Erase what is older than it is kept for."""
        before = self._clock.now() - retention
        while True:
            async with self._store.begin() as tx:
                erased = await tx.erase_before(before, at_most=ERASE_AT_ONCE)
            if erased < ERASE_AT_ONCE:
                return

    async def _collected(self) -> None:
        """Wait for a full batch, but not longer than the delay."""
        try:
            async with asyncio.timeout(self._delay.total_seconds()):
                await self._many.wait()
        except TimeoutError:
            return

    async def _write_batch(self) -> None:
        """Write the oldest rows. They are forgotten once committed; a second attempt finds them already there."""
        batch, size = self._batch()
        async with self._store.begin() as tx:
            await tx.append(batch)
        for _ in batch:
            self._rows.popleft()
        self._bytes -= size
        self._tell(batch)
        if not self._rows:
            self._some.clear()
        if len(self._rows) < BATCH and self._bytes < BATCH_BYTES:
            self._many.clear()
        if len(self._rows) < FULL and self._bytes < FULL_BYTES:
            self._room.set()

    def _tell(self, committed: Iterable[Activity]) -> None:
        if not self._broadcasts.listened_to:
            return
        for activity in committed:
            self._broadcasts.tell(events.of_activity(activity, self._clock.now()))

    def _batch(self) -> tuple[list[Activity], int]:
        batch: list[Activity] = []
        size = 0
        for activity in islice(self._rows, BATCH):
            batch.append(activity)
            size += _size(activity)
            if size >= BATCH_BYTES:
                break
        return batch, size


def _size(activity: Activity) -> int:
    return len(activity.request_body or "") + len(activity.response_body or "") + len(activity.tool_trace or "")
