"""Replays a recording from a position, and follows it to its end, whichever replica writes it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from services.a2a_proxy.model import Deadline, StreamInterrupted
from services.a2a_proxy.streams import rules, task_events
from services.a2a_proxy.streams.model import Ending, RecordedEvent, RecordedStream
from services.a2a_proxy.streams.store import StreamStore, StreamTransaction
from services.a2a_proxy.streams.watching import StreamWatch
from services.chassis.errors import Unavailable
from services.chassis.large_bodies import run_by_size

KEEPALIVE = b": the stream goes on\n\n"
"""A comment, by which proxies on the way see that the stream is alive."""

KEEPALIVE_INTERVAL = timedelta(seconds=15)

RETRY_INTERVAL = timedelta(seconds=1)
"""Delay until the next read while the database is unavailable."""

T = TypeVar("T")


class Replays:
    """Replays recordings."""

    def __init__(self, store: StreamStore, watch: StreamWatch) -> None:
        self._store = store
        self._watch = watch

    async def replay(
        self,
        stream: RecordedStream,
        after: int,
        *,
        request_id: bytes,
        deadline: Deadline | None,
        is_subscription: bool = False,
    ) -> AsyncGenerator[bytes, None]:
        """Yield the events after a position as the answer to a request, until the stream ends.

        Raises `StreamInterrupted` if the stream did, at the deadline, when the service stops, and if events are not
        kept any more that are still to come.
        """
        with self._watch.follow(stream.target_id, stream.id, after) as follower:
            while True:
                follower.clear()
                ending = await self._read_ending(stream)
                while events := await self._read_events(stream, follower.seen):
                    if events[0].seq != follower.seen + 1:
                        raise StreamInterrupted
                    if is_subscription and not follower.seen:
                        yield task_events.build_first_event(events[0].frame, request_id, stream.dialect)
                    follower.seen = events[-1].seq
                    yield await self._render(events, stream, request_id)
                if ending is Ending.COMPLETED:
                    return
                if ending is not None:
                    raise StreamInterrupted
                if not await self._watch.wait(follower, KEEPALIVE_INTERVAL, deadline):
                    yield KEEPALIVE

    async def _render(self, events: list[RecordedEvent], stream: RecordedStream, request_id: bytes) -> bytes:
        if request_id == stream.request_id:
            return b"".join(event.frame for event in events)
        size = sum(len(event.frame) for event in events)
        return await run_by_size(
            size, lambda: b"".join(rules.replace_request_id(event.frame, request_id) for event in events)
        )

    async def _read_events(self, stream: RecordedStream, after: int) -> list[RecordedEvent]:
        return await self._retry(lambda tx: tx.read(stream.id, after))

    async def _read_ending(self, stream: RecordedStream) -> Ending | None:
        """Return how a stream has ended, before its events are read: its last ones are stored before its end."""
        found = await self._retry(lambda tx: tx.find(stream.id))
        if found is None:
            raise StreamInterrupted
        return found.ending

    async def _retry(self, read: Callable[[StreamTransaction], Awaitable[T]]) -> T:
        """Return what is read once the database is available; raises `StreamInterrupted` when the service stops."""
        while not self._watch.is_stopping:
            try:
                async with self._store.begin_single() as tx:
                    return await read(tx)
            except Unavailable:
                await asyncio.sleep(RETRY_INTERVAL.total_seconds())
        raise StreamInterrupted
