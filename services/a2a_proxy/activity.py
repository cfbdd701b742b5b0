"""Writes the activity of workspaces to the database in batches, and reads it."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import islice

import structlog

from services.a2a_proxy.activity_broadcasts import build_activity_broadcasts
from services.a2a_proxy.broadcasts import BroadcastFanOut
from services.a2a_proxy.model import Activity, ActivityQuery, Broadcast, WorkspaceId
from services.a2a_proxy.store import Store
from services.chassis.clock import Clock
from services.chassis.errors import Unavailable
from services.chassis.large_bodies import LARGE_BODY_BYTES

log = structlog.get_logger()

MAX_BATCH_ROWS = 500
"""Rows that one transaction writes."""

MAX_BATCH_BYTES = 8 * 1024 * 1024
"""Size of the bodies from which a batch takes no further row."""

MAX_BUFFERED_ROWS = 20_000
"""Unwritten rows from which callers have to wait."""

MAX_BUFFERED_BYTES = 64 * 1024 * 1024
"""Size of unwritten bodies from which callers with large messages have to wait."""

MAX_BUFFERED_BYTES_FOR_SMALL = 4 * MAX_BUFFERED_BYTES
"""Size of unwritten bodies from which all callers have to wait."""

RETRY_INTERVAL = timedelta(seconds=0.5)
"""Delay between two attempts while the database is unavailable."""

MAX_FLUSH_ATTEMPTS = 10
"""Attempts of a stopping service to write the remaining rows."""


class ActivityLog:
    """Buffers rows and writes them in order. It never drops a row; when the buffer is full, callers wait."""

    def __init__(
        self,
        store: Store,
        broadcasts: BroadcastFanOut,
        clock: Clock,
        *,
        delay: timedelta,
        on_usage: Callable[[Mapping[WorkspaceId, int]], None],
        on_rows: Callable[[Sequence[Activity]], None] = lambda _: None,
    ) -> None:
        """With a `delay` of zero rows are not buffered: `record` returns when the row is committed.

        `on_usage` receives the bytes that the workspaces of a committed batch occupy, `on_rows` its rows.
        A row is broadcast after its commit, so a subscriber can read every row that it is informed of.
        """
        self._store = store
        self._broadcasts = broadcasts
        self._clock = clock
        self._delay = delay
        self._on_usage = on_usage
        self._on_rows = on_rows
        self._rows: deque[Activity] = deque()
        self._bytes = 0
        self._has_rows = asyncio.Event()
        self._has_full_batch = asyncio.Event()
        self._has_room_for_small = asyncio.Event()
        self._has_room_for_large = asyncio.Event()
        self._update_room()

    async def wait_for_room(self, size: int) -> None:
        """Return once the buffer has room for the row of a message of `size` bytes.

        Large messages wait earlier, so that they do not delay small ones by the time that the database takes for them.
        """
        has_room = self._has_room_for_large if size >= LARGE_BODY_BYTES else self._has_room_for_small
        if not has_room.is_set():
            await has_room.wait()

    async def record(self, activity: Activity) -> None:
        """Buffer a row, or commit it where the delay is zero."""
        if self._delay:
            self.buffer(activity)
        else:
            await self.commit(activity)

    def buffer(self, activity: Activity) -> None:
        """Add a row to the buffer."""
        self._rows.append(activity)
        self._bytes += _measure_texts(activity)
        self._has_rows.set()
        if len(self._rows) >= MAX_BATCH_ROWS or self._bytes >= MAX_BATCH_BYTES:
            self._has_full_batch.set()
        if len(self._rows) >= MAX_BUFFERED_ROWS or self._bytes >= MAX_BUFFERED_BYTES:
            self._update_room()

    def record_soon(self, activity: Activity) -> bool:
        """Buffer a row without waiting, whatever the delay; false, and nothing is buffered, if there is no room."""
        if not self._has_room_for_large.is_set():
            return False
        self.buffer(activity)
        return True

    def broadcast(self, broadcasts: Iterable[Broadcast]) -> None:
        """Send events to the present subscribers without recording anything."""
        self._broadcasts.publish(broadcasts)

    async def commit(self, activity: Activity) -> None:
        """Write a row without buffering it; raises `Unavailable`."""
        async with self._store.begin() as tx:
            usage = await tx.append([activity])
        self.announce([activity], usage)

    def announce(self, committed: Sequence[Activity], usage: Mapping[WorkspaceId, int]) -> None:
        """Broadcast rows that another part has committed; `usage` is what `append` returned for them."""
        self._on_usage(usage)
        self._on_rows(committed)
        self._broadcast(committed)

    async def write_batches(self) -> None:
        """Write the buffered rows until cancelled. The rows of a cancelled batch stay in the buffer for `flush`."""
        while True:
            await self._has_rows.wait()
            await self._wait_for_batch()
            try:
                await self._write_batch()
            except Unavailable:
                await asyncio.sleep(RETRY_INTERVAL.total_seconds())

    async def flush(self) -> None:
        """Write all buffered rows before the service stops."""
        for _ in range(MAX_FLUSH_ATTEMPTS):
            try:
                while self._rows:
                    await self._write_batch()
            except Unavailable:
                await asyncio.sleep(RETRY_INTERVAL.total_seconds())
            else:
                return
        log.error("activity lost: the database stayed unavailable", rows=len(self._rows))

    async def list_activities(self, query: ActivityQuery) -> list[Activity]:
        """Return the rows that match the query; raises `ActivityCursorGone`."""
        async with self._store.begin() as tx:
            return await tx.list_activities(query)

    async def _wait_for_batch(self) -> None:
        """Wait for a full batch, at most for the delay."""
        try:
            async with asyncio.timeout(self._delay.total_seconds()):
                await self._has_full_batch.wait()
        except TimeoutError:
            return

    async def _write_batch(self) -> None:
        """Write the oldest rows.

        They leave the buffer after the commit. If the result of a commit is unknown, they are written again, which
        changes nothing for rows that were committed.
        """
        batch, size = self._next_batch()
        async with self._store.begin() as tx:
            usage = await tx.append(batch)
        self._on_usage(usage)
        self._on_rows(batch)
        for _ in batch:
            self._rows.popleft()
        self._bytes -= size
        self._broadcast(batch)
        if not self._rows:
            self._has_rows.clear()
        if len(self._rows) < MAX_BATCH_ROWS and self._bytes < MAX_BATCH_BYTES:
            self._has_full_batch.clear()
        self._update_room()

    def _update_room(self) -> None:
        for event, max_bytes in (
            (self._has_room_for_large, MAX_BUFFERED_BYTES),
            (self._has_room_for_small, MAX_BUFFERED_BYTES_FOR_SMALL),
        ):
            if len(self._rows) < MAX_BUFFERED_ROWS and self._bytes < max_bytes:
                event.set()
            else:
                event.clear()

    def _broadcast(self, committed: Iterable[Activity]) -> None:
        if not self._broadcasts.has_subscribers:
            return
        for activity in committed:
            self._broadcasts.publish(build_activity_broadcasts(activity, self._clock.now()))

    def _next_batch(self) -> tuple[list[Activity], int]:
        """Return the rows of the next batch, and the size of their bodies."""
        batch: list[Activity] = []
        size = 0
        for activity in islice(self._rows, MAX_BATCH_ROWS):
            batch.append(activity)
            size += _measure_texts(activity)
            if size >= MAX_BATCH_BYTES:
                break
        return batch, size


def _measure_texts(activity: Activity) -> int:
    """Return the size of the texts in characters, which is close enough to bytes and needs no encoding."""
    bodies = len(activity.request_body or "") + len(activity.response_body or "") + len(activity.tool_trace or "")
    return bodies + len(activity.summary or "") + len(activity.error_detail or "")
