"""The feed: what is, then what changes, in the order of revisions; heartbeats as they arrive; signs of life.

One reader per replica follows the table and hands what it reads to everybody who watches. A watcher that cannot keep
up is sent away, and comes back from its last revision.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import structlog

from services.chassis.database import NotificationListener
from services.chassis.errors import Unavailable
from services.registry.errors.workspaces import FeedOverrun
from services.registry.store.transaction import Store
from services.registry.workspace.model import HeartbeatNotice, Workspace

log = structlog.get_logger()

SIGN_EVERY = timedelta(seconds=2)
"""How often a watcher hears that the feed is alive."""

LOOK_EVERY = timedelta(seconds=1)
"""How long the reader trusts the doorbell before it looks by itself."""

STALE = 4.0
"""Seconds after which what was read last is too old to vouch for."""

PAGE = 100
"""Workspaces read at a time."""

BACKLOG = 20_000
"""What a watcher may leave unread before it is sent away."""

BACKLOG_OF_BEATS = 5_000
"""Unread heartbeats above which further ones are left out: the next ones come soon."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A workspace as it is now."""

    workspace: Workspace


@dataclass(frozen=True, slots=True)
class SnapshotDone:
    """Everything that there was has been told."""

    revision: int


@dataclass(frozen=True, slots=True)
class Alive:
    """Nothing else happened up to this revision."""

    revision: int


@dataclass(frozen=True, slots=True)
class Beats:
    """Heartbeats that arrived meanwhile."""

    beats: tuple[HeartbeatNotice, ...]


News = Changed | Beats | SnapshotDone | Alive


class Feed:
    """Follows the table for as long as `run` runs, and tells everybody who watches."""

    def __init__(self, store: Store, bell: NotificationListener, *, replica_id: str) -> None:
        self._store = store
        self._bell = bell
        self._replica_id = replica_id
        self._revision = 0
        self._read_at = float("-inf")
        self._begun = asyncio.Event()
        self._turn = asyncio.Event()
        self._watchers: set[_Watcher] = set()

    async def run(self) -> None:
        """Read until cancelled; a database that is away is waited for."""
        while True:
            try:
                await self._catch_up()
            except Unavailable:
                log.warning("feed waits for the database")
            await self._bell.wait(LOOK_EVERY)

    def beat(self, beat: HeartbeatNotice) -> None:
        """Tell those who want to know that an agent is alive."""
        for watcher in self._watchers:
            watcher.hear_beat(beat)

    @property
    def revision(self) -> int:
        """Up to where it has read."""
        return self._revision

    async def beyond(self, revision: int, *, within: timedelta) -> None:
        """Wait until it has read past a revision, or the time is up."""
        if self._revision <= revision:
            await self.turned(within)

    async def turned(self, within: timedelta) -> None:
        """Wait until something changed, or the time is up."""
        turn = self._turn
        try:
            async with asyncio.timeout(within.total_seconds()):
                await turn.wait()
        except TimeoutError:
            return

    async def watch(self, after: int, *, pulses: bool, backend: str) -> AsyncIterator[News]:
        """The present state where `after` is 0 (or a revision that never was), then every change after it.

        `backend` is that of a watching provisioner: that one is there is remembered with every sign of life.
        """
        await self._begun.wait()
        watcher = _Watcher(pulses=pulses)
        self._watchers.add(watcher)
        try:
            await self._attend(backend)
            reached = await self._head(after)
            async for news in self._past(after, reached):
                yield news
                if isinstance(news, Changed):
                    reached = max(reached, news.workspace.revision)
            async for news in self._present(watcher, reached, backend):
                yield news
        finally:
            self._watchers.discard(watcher)

    async def _head(self, after: int) -> int:
        """The revision reached; a watcher that comes from another replica may know more than this one has read."""
        if after <= self._revision:
            return self._revision
        async with self._store.begin() as tx:
            return await tx.revisions.get_head()

    async def _past(self, after: int, head: int) -> AsyncIterator[News]:
        anew = after == 0 or after > head
        cursor = 0 if anew else after
        while True:
            async with self._store.begin() as tx:
                page = await (tx.revisions.list_live if anew else tx.revisions.list_changed)(cursor, limit=PAGE)
            for workspace in page:
                yield Changed(workspace)
            if len(page) < PAGE:
                break
            cursor = page[-1].revision
        if anew:
            yield SnapshotDone(max(head, page[-1].revision if page else 0))

    async def _present(self, watcher: "_Watcher", reached: int, backend: str) -> AsyncIterator[News]:
        loop = asyncio.get_running_loop()
        sign_at = loop.time()
        while True:
            if loop.time() >= sign_at:
                sign_at = loop.time() + SIGN_EVERY.total_seconds()
                await self._attend(backend)
                if watcher.idle and loop.time() - self._read_at < STALE:
                    yield Alive(max(reached, self._revision))
            news = await watcher.next(until=sign_at)
            if isinstance(news, Changed):
                if news.workspace.revision <= reached:
                    continue
                reached = news.workspace.revision
            if news is not None:
                yield news

    async def _attend(self, backend: str) -> None:
        if backend:
            async with self._store.begin() as tx:
                await tx.revisions.record_watcher(self._replica_id, backend)

    async def _catch_up(self) -> None:
        if not self._begun.is_set():
            async with self._store.begin() as tx:
                self._revision = await tx.revisions.get_head()
            self._begun.set()
        page: list[Workspace] | None = None
        while page is None or len(page) == PAGE:
            async with self._store.begin() as tx:
                page = await tx.revisions.list_changed(self._revision, limit=PAGE)
            self._tell(page)
        self._read_at = asyncio.get_running_loop().time()

    def _tell(self, page: list[Workspace]) -> None:
        if not page:
            return
        for workspace in page:
            for watcher in self._watchers:
                watcher.hear(Changed(workspace))
        self._revision = page[-1].revision
        self._turn.set()
        self._turn = asyncio.Event()


class _Watcher:
    """What one watcher has yet to read."""

    def __init__(self, *, pulses: bool) -> None:
        self._pulses = pulses
        self._unread: asyncio.Queue[Changed | None] = asyncio.Queue()
        """Nothing stands for the heartbeats: one place in the row for all that arrive before its turn."""
        self._beats: list[HeartbeatNotice] = []
        self._overrun = False

    @property
    def idle(self) -> bool:
        """True where everything told so far was read."""
        return self._unread.empty()

    def hear(self, news: Changed) -> None:
        """Take a change; one too many ends the watch."""
        if self._unread.qsize() >= BACKLOG:
            self._overrun = True
        else:
            self._unread.put_nowait(news)

    def hear_beat(self, beat: HeartbeatNotice) -> None:
        """Take a heartbeat if it is wanted and there is room."""
        if not self._pulses or len(self._beats) >= BACKLOG_OF_BEATS:
            return
        if not self._beats:
            self._unread.put_nowait(None)
        self._beats.append(beat)

    async def next(self, *, until: float) -> Changed | Beats | None:
        """The next news, or nothing by then; raises `FeedOverrun`."""
        if self._overrun:
            raise FeedOverrun
        try:
            async with asyncio.timeout_at(until):
                news = await self._unread.get()
        except TimeoutError:
            return None
        if news is not None:
            return news
        beats, self._beats = self._beats, []
        return Beats(tuple(beats))
