"""The chronicle: stored events as they are committed, each with the circles that it is told to.

One reader per replica follows the events and where workspaces stand. What it reads is told in the order of ids, and
where a workspace stands is told before any event that is told by it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from services.chassis.errors import Unavailable
from services.registry.errors.events import EventIdGone
from services.registry.errors.workspaces import FeedOverrun
from services.registry.feeds.workspace_feed import LOOK_EVERY, SIGN_EVERY, STALE, Feed
from services.registry.store.transaction import Store, Transaction
from services.registry.workspace import audiences
from services.registry.workspace.audiences import Audiences, AudienceTree, TreePosition, WorkspaceAudiences
from services.registry.workspace.events import Event
from services.registry.workspace.model import WorkspaceId

log = structlog.get_logger()

PAGE = 500
"""Events, or workspaces, read or told at a time."""

SPOTS = 5_000
"""Places in the tree read at a time."""

BACKLOG = 20_000
"""What a reader may leave unread before it is sent away."""


@dataclass(frozen=True, slots=True)
class Told:
    """An event, and to whom it is told."""

    event: Event
    published_to: Audiences


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """All there was has been told, up to this event."""

    event_id: int


@dataclass(frozen=True, slots=True)
class Quiet:
    """Nothing happened, and the chronicle would have told."""


News = Sequence[WorkspaceAudiences] | Told | CaughtUp | Quiet


class Chronicle:
    """Follows the events for as long as `run` runs, and tells everybody who watches."""

    def __init__(self, store: Store, feed: Feed) -> None:
        """The `feed` says when there is something to read: every event comes with a revision."""
        self._store = store
        self._feed = feed
        self._forest = AudienceTree()
        self._gone: list[WorkspaceId] = []
        self._revision = 0
        self._reached = 0
        self._read_at = float("-inf")
        self._begun = asyncio.Event()
        self._watchers: set[_Watcher] = set()

    async def run(self) -> None:
        """Read until cancelled; a database that is away is waited for."""
        while True:
            seen = self._feed.revision
            try:
                await self._catch_up()
            except Unavailable:
                log.warning("chronicle waits for the database")
            await self._feed.beyond(seen, within=LOOK_EVERY)

    async def watch(self, after: int) -> AsyncIterator[News]:
        """Where every workspace stands, the events after one, then what happens; 0 begins with what happens.

        Raises `EventIdGone` where events after that one are not kept any more, and `FeedOverrun` for who falls behind.
        """
        await self._begun.wait()
        watcher = _Watcher()
        self._watchers.add(watcher)
        try:
            reached = self._reached
            for some in _in_pages(list(self._forest)):
                yield [self._placed(workspace_id) for workspace_id in some]
            if after:
                async for told in self._past(after, reached):
                    yield told
            reached = max(reached, after)
            yield CaughtUp(reached)
            async for news in self._present(watcher, reached):
                yield news
        finally:
            self._watchers.discard(watcher)

    async def _past(self, after: int, through: int) -> AsyncIterator[Told]:
        async with self._store.begin() as tx:
            if after < await tx.events.get_horizon():
                raise EventIdGone
        while after < through:
            async with self._store.begin() as tx:
                page = await tx.events.list_after(after, limit=PAGE)
            for event, org_id in page:
                if event.event_id <= through:
                    yield self._told(event, org_id)
            if len(page) < PAGE:
                return
            after = page[-1][0].event_id

    async def _present(self, watcher: "_Watcher", reached: int) -> AsyncIterator[News]:
        loop = asyncio.get_running_loop()
        while True:
            news = await watcher.next(within=SIGN_EVERY)
            if isinstance(news, Told) and news.event.event_id <= reached:
                continue
            if news is not None:
                yield news
            elif loop.time() - self._read_at < STALE:
                yield Quiet()

    async def _catch_up(self) -> None:
        """Events are read first and told last: whatever they are about stands in the forest by then."""
        page: list[tuple[Event, WorkspaceId]] | None = None
        while page is None or len(page) == PAGE:
            async with self._store.begin() as tx:
                if not self._begun.is_set():
                    self._reached = await tx.events.get_head()
                page = await tx.events.list_after(self._reached, limit=PAGE)
                await self._replant(tx)
            for event, org_id in page:
                self._tell(self._told(event, org_id))
                self._reached = event.event_id
            self._uproot()
            self._begun.set()
        self._read_at = asyncio.get_running_loop().time()

    async def _replant(self, tx: Transaction) -> None:
        """Take note of who stands where now; who was purged stands until all events about it are told."""
        moved: dict[WorkspaceId, None] = {}
        page: list[tuple[TreePosition, int, bool]] | None = None
        while page is None or len(page) == SPOTS:
            page = await tx.events.list_positions(self._revision, limit=SPOTS)
            for spot, revision, gone in page:
                self._revision = revision
                if gone:
                    self._gone.append(spot.workspace_id)
                else:
                    moved |= dict.fromkeys(self._forest.place(spot))
        for some in _in_pages(list(moved)):
            self._tell([self._placed(workspace_id) for workspace_id in some])

    def _uproot(self) -> None:
        for workspace_id in self._gone:
            self._forest.remove(workspace_id)
        for some in _in_pages(self._gone):
            self._tell([WorkspaceAudiences(workspace_id=workspace_id) for workspace_id in some])
        self._gone = []

    def _tell(self, news: Sequence[WorkspaceAudiences] | Told) -> None:
        for watcher in self._watchers:
            watcher.hear(news)

    def _placed(self, workspace_id: WorkspaceId) -> WorkspaceAudiences:
        return WorkspaceAudiences(
            workspace_id=workspace_id,
            published_to=self._forest.find_publish_audiences(workspace_id),
            subscribed_to=self._forest.find_subscribe_audiences(workspace_id),
        )

    def _told(self, event: Event, org_id: WorkspaceId) -> Told:
        standing = self._forest.find_publish_audiences(event.workspace_id)
        return Told(event, standing or audiences.find_purged_publish_audiences(event.workspace_id, org_id))


class _Watcher:
    """What one watcher has yet to read."""

    def __init__(self) -> None:
        self._unread: asyncio.Queue[Sequence[WorkspaceAudiences] | Told] = asyncio.Queue()
        self._overrun = False

    def hear(self, news: Sequence[WorkspaceAudiences] | Told) -> None:
        """Take news; one too many ends the watch."""
        if self._unread.qsize() >= BACKLOG:
            self._overrun = True
        else:
            self._unread.put_nowait(news)

    async def next(self, *, within: timedelta) -> Sequence[WorkspaceAudiences] | Told | None:
        """The next news, or nothing by then; raises `FeedOverrun`."""
        if self._overrun:
            raise FeedOverrun
        if not self._unread.empty():
            return self._unread.get_nowait()
        try:
            async with asyncio.timeout(within.total_seconds()):
                return await self._unread.get()
        except TimeoutError:
            return None


def _in_pages(ids: Sequence[WorkspaceId]) -> Iterator[Sequence[WorkspaceId]]:
    for start in range(0, len(ids), PAGE):
        yield ids[start : start + PAGE]
