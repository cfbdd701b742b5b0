"""Stores the events of all streams of this replica in batches, and ends the recordings of proxies that are gone."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import structlog

from services.a2a_proxy.streams.model import Ending, EventWrite
from services.a2a_proxy.streams.store import StreamStore, StreamTransaction
from services.a2a_proxy.streams.task_events import has_ended
from services.chassis.batching import Batcher
from services.chassis.errors import ServiceError, Unavailable

log = structlog.get_logger()

MAX_BATCH_BYTES = 4 * 1024 * 1024
"""Bytes of events from which a batch takes no further ones."""

MAX_CONCURRENT_BATCHES = 2
"""Batches that are written at the same time, so that an event waits for no other batch but its own."""

MAX_STATEMENTS = MAX_CONCURRENT_BATCHES + 1
"""Statements that are executed at the same time: the batches, and one that stores the ends of streams."""

EVENT_BYTES = 64
"""Bytes that an event occupies besides its text."""

STORE_TIMEOUT = timedelta(seconds=2)
"""Time after which a stream goes on without being recorded."""

FAILURE_PAUSE = timedelta(seconds=1)
"""Time after a failure in which no further stream is recorded, so that none waits for a database that is away."""

ALIVE_INTERVAL = timedelta(seconds=5)
"""Interval at which a proxy stores that it is alive."""

MAX_ENDED = 200
"""Recordings of lost proxies that one transaction ends."""

ABANDONED_AGE = timedelta(seconds=20)
"""Time after which a proxy that did not is gone, and its recordings are ended."""


class StreamWriter:
    """Writes recordings. What cannot be stored is reported to the stream, which goes on without."""

    def __init__(self, store: StreamStore, *, writer_id: str) -> None:
        self._store = store
        self._writer_id = writer_id
        self._endings: dict[str, tuple[Ending, int]] = {}
        """Those that are not stored yet, with the bytes of the events."""
        self._is_ending = asyncio.Lock()
        self._retry_at = 0.0
        self._begins_at = 0.0
        """When streams are recorded again after a failure."""
        self._batcher: Batcher[EventWrite, None] = Batcher(
            self._append_batch,
            capacity=MAX_BATCH_BYTES,
            weigh=lambda write: write.size + EVENT_BYTES,
            max_concurrent=MAX_CONCURRENT_BATCHES,
        )

    async def append(self, write: EventWrite) -> bool:
        """Store events; returns whether they are stored. Those of one stream are stored in the order of the calls."""
        loop = asyncio.get_running_loop()
        if write.begins is not None and loop.time() < self._begins_at:
            return False
        try:
            async with asyncio.timeout(STORE_TIMEOUT.total_seconds()):
                await self._batcher.submit(write)
        except (ServiceError, TimeoutError):
            self._begins_at = loop.time() + FAILURE_PAUSE.total_seconds()
            log.warning("stream not recorded", stream=write.stream_id)
            return False
        return True

    async def drop_events(self, stream_id: str, first_seq: int) -> bool:
        """Delete the events of a stream before `first_seq`; returns whether they are deleted."""
        try:
            async with self._store.begin() as tx:
                await tx.drop_events(stream_id, first_seq)
        except ServiceError:
            return False
        return True

    def end(self, stream_id: str, ending: Ending, size: int) -> None:
        """Have the end of a recording stored whose events occupy `size` bytes."""
        self._endings[stream_id] = ending, size

    async def store_endings(self) -> None:
        """Store the endings that wait, all at once; while they cannot be stored, `note_alive` tries again."""
        if asyncio.get_running_loop().time() < self._retry_at:
            return
        try:
            await self._store_endings()
        except ServiceError:
            log.warning("ends of streams not stored", streams=len(self._endings))
            self._retry_at = asyncio.get_running_loop().time() + ALIVE_INTERVAL.total_seconds()

    async def note_alive(self) -> None:
        """Store that this proxy is alive, and what could not be stored before; raises `Unavailable`."""
        async with self._store.begin_single() as tx:
            await tx.note_writer(self._writer_id)
        await self._store_endings()

    async def note_sizes(self, sizes: dict[str, int]) -> None:
        """Store how much the recordings in progress occupy; raises `Unavailable`."""
        if sizes:
            async with self._store.begin_single() as tx:
                await tx.note_sizes(sizes)

    async def end_abandoned(self) -> None:
        """End the recordings of proxies that are gone; raises `Unavailable`."""
        async with self._store.begin() as tx:
            await tx.remove_lost_writers(age=ABANDONED_AGE)
        ended = await self._end_open(lambda tx: tx.list_abandoned(age=ABANDONED_AGE, limit=MAX_ENDED))
        if ended:
            log.info("streams of a lost proxy ended", streams=ended)

    async def close(self) -> None:
        """End what this proxy has not ended, because it stops."""
        try:
            await self._store_endings()
            async with self._store.begin() as tx:
                await tx.remove_writer(self._writer_id)
            await self._end_open(lambda tx: tx.list_open(self._writer_id, limit=MAX_ENDED))
        except Unavailable:
            log.warning("streams not ended: the database is unavailable")

    async def _end_open(self, find: Callable[[StreamTransaction], Awaitable[list[str]]]) -> int:
        """End streams that their proxy did not end: a task that has ended as such, others as interrupted."""
        total, found = 0, MAX_ENDED
        while found == MAX_ENDED:
            async with self._store.begin() as tx:
                last = await tx.read_last(await find(tx))
                over = [id_ for id_, events in last.items() if has_ended(events)]
                total += await tx.end_open(over, Ending.COMPLETED)
                total += await tx.end_open(list(last.keys() - set(over)), Ending.INTERRUPTED)
            found = len(last)
        return total

    async def _append_batch(self, batch: Sequence[EventWrite]) -> Sequence[None]:
        await self._store.append(batch, self._writer_id)
        return [None] * len(batch)

    async def _store_endings(self) -> None:
        """Store all endings that wait, together; the callers that wait for the same turn share it."""
        async with self._is_ending:
            waiting = dict(self._endings)
            if not waiting:
                return
            endings = {id_: ending for id_, (ending, _) in waiting.items()}
            await self._store.end(endings, {id_: size for id_, (_, size) in waiting.items()})
            for id_ in waiting:
                del self._endings[id_]
