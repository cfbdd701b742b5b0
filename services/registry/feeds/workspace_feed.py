"""Publishes changes of workspaces in the order of revisions, heartbeats as they arrive, and keepalives.

One reader per replica reads the table and hands every change to all subscribers. A subscriber that reads too slowly
is disconnected with `FeedOverrun`, and resumes after its last revision.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

from services.chassis.database import NotificationListener
from services.chassis.errors import Unavailable
from services.chassis.fan_out import Subscription
from services.chassis.feeds import FEED_SIGN_INTERVAL
from services.registry.errors.workspaces import FeedOverrun
from services.registry.store.transaction import Store
from services.registry.workspace.model import HeartbeatNotice, Workspace

POLL_INTERVAL = timedelta(seconds=1)
"""Time without a notification of the database after which the reader looks for changes anyway."""

MAX_READ_AGE = timedelta(seconds=4)
"""Age of the last read above which no keepalive is sent: the reader may have missed changes."""

WORKSPACES_PER_READ = 100

MAX_UNREAD_UPDATES = 20_000
"""Unread updates of one subscriber; one more change ends its stream with `FeedOverrun`."""

MAX_UNREAD_HEARTBEATS = 5_000
"""Unread heartbeats of one subscriber; further ones are dropped, because the next ones follow soon."""


@dataclass(frozen=True, slots=True)
class WorkspaceChange:
    """A workspace in its present state."""

    workspace: Workspace


@dataclass(frozen=True, slots=True)
class SnapshotDone:
    """Every workspace that existed at the start of the stream was sent."""

    revision: int


@dataclass(frozen=True, slots=True)
class FeedKeepalive:
    """Nothing else changed up to this revision."""

    revision: int


@dataclass(frozen=True, slots=True)
class HeartbeatBatch:
    """The heartbeats since the last update."""

    heartbeats: tuple[HeartbeatNotice, ...]


FeedUpdate = WorkspaceChange | HeartbeatBatch | SnapshotDone | FeedKeepalive


class WorkspaceFeed:
    """Reads changes of workspaces while `run` runs, and publishes them to all subscribers of this replica."""

    def __init__(self, store: Store, notifications: NotificationListener, *, replica_id: str) -> None:
        self._store = store
        self._notifications = notifications
        self._replica_id = replica_id
        self._revision = 0
        self._read_at = float("-inf")
        self._started = asyncio.Event()
        self._change = asyncio.Event()
        self._subscribers: set[_Subscriber] = set()

    async def run(self) -> None:
        """Read until cancelled; while the database is unavailable, try again."""
        while True:
            try:
                await self._catch_up()
            except Unavailable:  # the outage is already logged
                await asyncio.sleep(POLL_INTERVAL.total_seconds())
            await self._notifications.wait(POLL_INTERVAL)

    async def find_trouble(self) -> str:
        """Return why subscribers hear nothing; empty if the table was read lately."""
        age = asyncio.get_running_loop().time() - self._read_at
        return "" if age < MAX_READ_AGE.total_seconds() else "changes of workspaces are not read from the database"

    def publish_heartbeat(self, heartbeat: HeartbeatNotice) -> None:
        """Send a heartbeat to the subscribers that asked for heartbeats."""
        for subscriber in self._subscribers:
            subscriber.put_heartbeat(heartbeat)

    @property
    def revision(self) -> int:
        """The highest revision that the reader of this replica has read."""
        return self._revision

    async def wait_beyond(self, revision: int, timeout: timedelta) -> None:  # noqa: ASYNC109 - a timeout is a usual result
        """Wait until a higher revision was read, for `timeout` at most."""
        if self._revision <= revision:
            await self.wait_for_change(timeout)

    async def wait_for_change(self, timeout: timedelta) -> None:  # noqa: ASYNC109 - a timeout is a usual result
        """Wait for the next change, for `timeout` at most."""
        change = self._change
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                await change.wait()
        except TimeoutError:
            return

    async def watch(self, after_revision: int, *, include_heartbeats: bool, backend: str) -> AsyncIterator[FeedUpdate]:
        """Yield every change after a revision, without end.

        After 0, or a revision that does not exist, the present state of every workspace comes first. `backend` is
        that of a subscribing provisioner; its presence is stored with every keepalive.
        """
        await self._started.wait()
        subscriber = _Subscriber(include_heartbeats=include_heartbeats)
        self._subscribers.add(subscriber)
        try:
            await self._note_provisioner(backend)
            reached = await self._find_head(after_revision)
            async for update in self._replay(after_revision, reached):
                yield update
                if isinstance(update, WorkspaceChange):
                    reached = max(reached, update.workspace.revision)
            async for update in self._follow(subscriber, reached, backend):
                yield update
        finally:
            self._subscribers.discard(subscriber)

    async def _find_head(self, after: int) -> int:
        """Return the highest revision. A subscriber that comes from another replica may know a higher one than this."""
        if after <= self._revision:
            return self._revision
        async with self._store.begin() as tx:
            return await tx.revisions.get_head()

    async def _replay(self, after: int, head: int) -> AsyncIterator[FeedUpdate]:
        is_snapshot = after == 0 or after > head
        cursor = 0 if is_snapshot else after
        while True:
            async with self._store.begin() as tx:
                read = tx.revisions.list_live if is_snapshot else tx.revisions.list_changed
                page = await read(cursor, limit=WORKSPACES_PER_READ)
            for workspace in page:
                yield WorkspaceChange(workspace)
            if len(page) < WORKSPACES_PER_READ:
                break
            cursor = page[-1].revision
        if is_snapshot:
            yield SnapshotDone(max(head, page[-1].revision if page else 0))

    async def _follow(self, subscriber: "_Subscriber", reached: int, backend: str) -> AsyncIterator[FeedUpdate]:
        loop = asyncio.get_running_loop()
        keepalive_at = loop.time()
        while True:
            if loop.time() >= keepalive_at:
                keepalive_at = loop.time() + FEED_SIGN_INTERVAL.total_seconds()
                await self._note_provisioner(backend)
                if subscriber.is_idle and loop.time() - self._read_at < MAX_READ_AGE.total_seconds():
                    yield FeedKeepalive(max(reached, self._revision))
            update = await subscriber.next(timedelta(seconds=max(keepalive_at - loop.time(), 0)))
            if isinstance(update, WorkspaceChange):
                if update.workspace.revision <= reached:
                    continue
                reached = update.workspace.revision
            if update is not None:
                yield update

    async def _note_provisioner(self, backend: str) -> None:
        if backend:
            async with self._store.begin() as tx:
                await tx.revisions.record_watcher(self._replica_id, backend)

    async def _catch_up(self) -> None:
        if not self._started.is_set():
            async with self._store.begin() as tx:
                self._revision = await tx.revisions.get_head()
            self._started.set()
        page: list[Workspace] | None = None
        while page is None or len(page) == WORKSPACES_PER_READ:
            async with self._store.begin() as tx:
                page = await tx.revisions.list_changed(self._revision, limit=WORKSPACES_PER_READ)
            self._publish_changes(page)
        self._read_at = asyncio.get_running_loop().time()

    def _publish_changes(self, page: list[Workspace]) -> None:
        if not page:
            return
        for workspace in page:
            change = WorkspaceChange(workspace)
            for subscriber in self._subscribers:
                subscriber.put_change(change)
        self._revision = page[-1].revision
        self._change.set()
        self._change = asyncio.Event()


_HEARTBEATS_WAIT = HeartbeatBatch(())
"""Holds the place of unread heartbeats among the unread changes: one place for all that arrive before its turn."""


class _Subscriber:
    """The unread changes and heartbeats of one subscriber."""

    def __init__(self, *, include_heartbeats: bool) -> None:
        self._include_heartbeats = include_heartbeats
        self._unread: Subscription[WorkspaceChange | HeartbeatBatch] = Subscription(
            capacity=MAX_UNREAD_UPDATES, overflow_error=self._overrun
        )
        self._heartbeats: list[HeartbeatNotice] = []
        self._has_overrun = False

    @property
    def is_idle(self) -> bool:
        """Whether every update was read. After an overrun that is false, although nothing is left to read."""
        return self._unread.is_empty and not self._has_overrun

    def put_change(self, change: WorkspaceChange) -> None:
        """Add a change; one too many ends the stream."""
        self._unread.put(change)

    def put_heartbeat(self, heartbeat: HeartbeatNotice) -> None:
        """Add a heartbeat if the subscriber asked for heartbeats and there is room."""
        if not self._include_heartbeats or len(self._heartbeats) >= MAX_UNREAD_HEARTBEATS:
            return
        if not self._heartbeats:
            if self._unread.is_full:  # a heartbeat must not end the stream
                return
            self._unread.put(_HEARTBEATS_WAIT)
        self._heartbeats.append(heartbeat)

    async def next(self, timeout: timedelta) -> WorkspaceChange | HeartbeatBatch | None:  # noqa: ASYNC109 - no update is a usual result
        """Return the next update, or `None` after `timeout`; raises `FeedOverrun`."""
        update = await self._unread.next(timeout)
        if update is not _HEARTBEATS_WAIT:
            return update
        heartbeats, self._heartbeats = self._heartbeats, []
        return HeartbeatBatch(tuple(heartbeats))

    def _overrun(self) -> FeedOverrun:
        self._has_overrun = True
        return FeedOverrun()
