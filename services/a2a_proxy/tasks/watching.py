"""Wakes the streams whose queued messages have changed, whichever replica changed them."""

import asyncio
from contextlib import AbstractContextManager
from datetime import timedelta

from services.a2a_proxy.model import Deadline, WorkspaceId
from services.a2a_proxy.queue.model import MessageState
from services.a2a_proxy.tasks.store.tasks import TaskStore
from services.a2a_proxy.watch_list import Watcher, WatchList
from services.chassis.errors import Unavailable

READ_INTERVAL = timedelta(seconds=1)
"""Longest time between two looks at the watched messages: not every change sends a notification."""

MIN_PAUSE = timedelta(milliseconds=20)
"""Least time between two looks, however many notifications arrive."""

MAX_READ = 1000
"""Messages that one statement looks at."""

MAX_WATCHERS = 4096
"""Streams that follow messages at the same time."""

MAX_WATCHERS_PER_TARGET = 256
"""Of them, those of one workspace."""


class MessageWatcher(Watcher):
    """Waits until a message differs from what its stream has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: tuple[MessageState, int] | None = None
        """The state and the generation of the lease that the stream has told of; `None` before it has told any."""

    def note(self, found: tuple[MessageState, int] | None) -> None:
        """Note what is stored of the message; `None` for one that is not stored any more."""
        if self.seen is not None and found != self.seen:
            self.wake()


class QueueWatch:
    """Looks at all watched messages at once: after each notification of the queue, and at least once a second."""

    def __init__(self, store: TaskStore) -> None:
        self._store = store
        self._watchers: WatchList[MessageWatcher] = WatchList(
            max_watchers=MAX_WATCHERS, max_per_target=MAX_WATCHERS_PER_TARGET
        )
        self._woken = asyncio.Event()

    @property
    def is_stopping(self) -> bool:
        """Whether the service stops."""
        return self._watchers.is_stopping

    def watch(self, target: WorkspaceId, queue_id: str) -> AbstractContextManager[MessageWatcher]:
        """Watch a message for the length of the block; raises `AgentBusy` if too many are watched.

        The stream sets `seen` after each look, so a change between its looks is never missed.
        """
        self.check_room(target)
        return self._watchers.hold(target, queue_id, MessageWatcher())

    async def wait(self, watcher: MessageWatcher, interval: timedelta, deadline: Deadline | None) -> bool:
        """Wait until the message may have changed (`WatchList.wait`)."""
        return await self._watchers.wait(watcher, interval, deadline)

    def check_room(self, target: WorkspaceId) -> None:
        """Raise `AgentBusy` if no further message of a target may be watched."""
        self._watchers.check_room(target)

    def wake(self) -> None:
        """Look now: something in the queue has changed."""
        self._woken.set()

    def stop(self) -> None:
        """Have all streams end, because the service stops."""
        self._watchers.stop()

    async def follow(self) -> None:
        """Look until cancelled, while any message is watched."""
        while True:
            await self._watchers.wait_until_used()
            try:
                async with asyncio.timeout(READ_INTERVAL.total_seconds()):
                    await self._woken.wait()
            except TimeoutError:
                pass
            self._woken.clear()
            try:
                await self._look()
            except Unavailable:
                await asyncio.sleep(READ_INTERVAL.total_seconds())
            await asyncio.sleep(MIN_PAUSE.total_seconds())

    async def _look(self) -> None:
        ids = self._watchers.list_items()
        for start in range(0, len(ids), MAX_READ):
            part = ids[start : start + MAX_READ]
            async with self._store.begin() as tx:
                found = await tx.read_states(part)
            for id_ in part:
                for watcher in self._watchers.get(id_):
                    watcher.note(found.get(id_))
