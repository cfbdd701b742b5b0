"""Wakes the callers that follow a recording, whichever replica writes it."""

import asyncio
from contextlib import AbstractContextManager
from datetime import timedelta

from services.a2a_proxy.model import Deadline, WorkspaceId
from services.a2a_proxy.streams.store import StreamStore
from services.a2a_proxy.watch_list import Watcher, WatchList
from services.chassis.errors import Unavailable

READ_INTERVAL = timedelta(milliseconds=100)
"""Time between two looks at the followed recordings of other replicas, by one statement for all of them."""

RETRY_INTERVAL = timedelta(seconds=1)
"""Delay until the next look while the database is unavailable."""

MAX_READ = 1000
"""Recordings that one statement looks at."""

MAX_FOLLOWERS = 4096
"""Callers that follow recordings at the same time."""

MAX_FOLLOWERS_PER_TARGET = 256
"""Of them, those of one workspace."""


class Follower(Watcher):
    """Waits until a recording has more than its caller has seen."""

    def __init__(self, seen: int) -> None:
        super().__init__()
        self.seen = seen
        """The last event that the caller has received."""


class StreamWatch:
    """Knows who follows which recording. The writer of this replica wakes at once; others are looked at together."""

    def __init__(self, store: StreamStore) -> None:
        self._store = store
        self._followers: WatchList[Follower] = WatchList(
            max_watchers=MAX_FOLLOWERS, max_per_target=MAX_FOLLOWERS_PER_TARGET
        )
        self._own: set[str] = set()
        """The recordings that this replica writes."""

    @property
    def is_stopping(self) -> bool:
        """Whether the service stops."""
        return self._followers.is_stopping

    def note_begin(self, stream_id: str) -> None:
        """Note that this replica writes a recording, and wakes its followers itself."""
        self._own.add(stream_id)

    def note_end(self, stream_id: str) -> None:
        """Note that this replica writes a recording no more."""
        self._own.discard(stream_id)
        self.wake(stream_id)

    def wake(self, stream_id: str) -> None:
        """Wake the followers of a recording."""
        self._followers.wake(stream_id)

    def is_followed(self, stream_id: str) -> bool:
        """Whether a caller of this replica follows a recording."""
        return bool(self._followers.get(stream_id))

    def follow(self, target: WorkspaceId, stream_id: str, seen: int) -> AbstractContextManager[Follower]:
        """Follow a recording for the length of the block."""
        return self._followers.hold(target, stream_id, Follower(seen))

    def check_room(self, target: WorkspaceId) -> None:
        """Raise `AgentBusy` if no further recording of a target may be followed."""
        self._followers.check_room(target)

    async def wait(self, follower: Follower, interval: timedelta, deadline: Deadline | None) -> bool:
        """Wait until there may be more (`WatchList.wait`)."""
        return await self._followers.wait(follower, interval, deadline)

    def stop(self) -> None:
        """Have all callers end, because the service stops."""
        self._followers.stop()

    async def run(self) -> None:
        """Look at the followed recordings of other replicas until cancelled; nothing is read while there are none."""
        while True:
            await self._followers.wait_until_used()
            try:
                await self._look()
            except Unavailable:
                await asyncio.sleep(RETRY_INTERVAL.total_seconds())
            await asyncio.sleep(READ_INTERVAL.total_seconds())

    async def _look(self) -> None:
        seen = {
            stream_id: min(follower.seen for follower in self._followers.get(stream_id))
            for stream_id in self._followers.list_items()
            if stream_id not in self._own
        }
        ids = list(seen)
        for start in range(0, len(ids), MAX_READ):
            async with self._store.begin_single() as tx:
                changed = await tx.find_changed({id_: seen[id_] for id_ in ids[start : start + MAX_READ]})
            for stream_id in changed:
                self.wake(stream_id)
