"""Publishes stored events as they are committed, each with the audiences that receive it.

One reader per replica follows the stored events and the positions of workspaces in the tree. Events are published in
the order of their ids. The audiences of a workspace are published before any event that depends on them.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

from services.chassis.errors import Unavailable
from services.chassis.fan_out import FanOut, Subscription
from services.chassis.feeds import FEED_SIGN_INTERVAL
from services.registry.errors.events import EventIdGone
from services.registry.errors.workspaces import FeedOverrun
from services.registry.feeds.workspace_feed import MAX_READ_AGE, POLL_INTERVAL, WorkspaceFeed
from services.registry.store.transaction import Store, Transaction
from services.registry.workspace.audiences import (
    Audiences,
    AudienceTree,
    TreePosition,
    WorkspaceAudiences,
    find_publish_audiences,
)
from services.registry.workspace.events import Event
from services.registry.workspace.model import WorkspaceId

MAX_PAGE_SIZE = 500
"""Events that one statement reads, and workspaces in one update."""

POSITIONS_PER_READ = 5_000
"""Positions in the tree that one statement reads."""

MAX_UNREAD_UPDATES = 20_000
"""Unread updates of one subscriber; one more ends its stream with `FeedOverrun`."""


@dataclass(frozen=True, slots=True)
class PublishedEvent:
    """A stored event, the audiences that receive it, and those that receive it without its content."""

    event: Event
    published_to: Audiences
    announced_to: Audiences = ()


@dataclass(frozen=True, slots=True)
class ReplayDone:
    """Every event up to this one was sent; what follows happens now."""

    event_id: int


@dataclass(frozen=True, slots=True)
class EventLogKeepalive:
    """Nothing happened, and the reader of this replica is up to date."""


EventLogUpdate = Sequence[WorkspaceAudiences] | PublishedEvent | ReplayDone | EventLogKeepalive


class EventLog:
    """Reads stored events while `run` runs, and publishes them to all subscribers of this replica."""

    def __init__(self, store: Store, feed: WorkspaceFeed) -> None:
        """The `feed` wakes the reader: every event is committed together with a revision."""
        self._store = store
        self._feed = feed
        self._tree = AudienceTree()
        self._purged: list[WorkspaceId] = []
        self._last_revision = 0
        self._last_event_id = 0
        self._read_at = float("-inf")
        self._started = asyncio.Event()
        self._fan_out = FanOut[Sequence[WorkspaceAudiences] | PublishedEvent](
            capacity=MAX_UNREAD_UPDATES, overflow_error=FeedOverrun
        )

    @property
    def is_watched(self) -> bool:
        """Whether a gateway follows this replica."""
        return self._fan_out.has_subscribers

    async def run(self) -> None:
        """Read until cancelled; while the database is unavailable, try again."""
        while True:
            known_revision = self._feed.revision
            try:
                await self._catch_up()
            except Unavailable:  # the outage is already logged
                await asyncio.sleep(POLL_INTERVAL.total_seconds())
            await self._feed.wait_beyond(known_revision, POLL_INTERVAL)

    async def watch(self, after_event_id: int) -> AsyncIterator[EventLogUpdate]:
        """Yield the audiences of every workspace, the events after the given one, then what happens, without end.

        With 0 no stored event is replayed. Raises `EventIdGone` where some events after the given one were deleted,
        and `FeedOverrun` where the subscriber reads too slowly.
        """
        await self._started.wait()
        with self._fan_out.subscribe() as subscription:
            reached = self._last_event_id
            for page in _split_into_pages(list(self._tree)):
                yield [self._tree.find_audiences(workspace_id) for workspace_id in page]
            if after_event_id:
                async for replayed in self._replay(after_event_id, reached):
                    yield replayed
            reached = max(reached, after_event_id)
            yield ReplayDone(reached)
            async for update in self._follow(subscription, reached):
                yield update

    async def _replay(self, after: int, through: int) -> AsyncIterator[PublishedEvent]:
        async with self._store.begin() as tx:
            if after < await tx.events.get_horizon():
                raise EventIdGone
        while after < through:
            async with self._store.begin() as tx:
                page = await tx.events.list_after(after, limit=MAX_PAGE_SIZE)
            for event, org_id in page:
                if event.event_id <= through:
                    yield self._address(event, org_id)
            if len(page) < MAX_PAGE_SIZE:
                return
            after = page[-1][0].event_id

    async def _follow(
        self, subscription: Subscription[Sequence[WorkspaceAudiences] | PublishedEvent], reached: int
    ) -> AsyncIterator[EventLogUpdate]:
        loop = asyncio.get_running_loop()
        while True:
            update = await subscription.next(FEED_SIGN_INTERVAL)
            if isinstance(update, PublishedEvent) and update.event.event_id <= reached:
                continue
            if update is not None:
                yield update
            elif loop.time() - self._read_at < MAX_READ_AGE.total_seconds():
                yield EventLogKeepalive()

    async def _catch_up(self) -> None:
        """Read events first and publish them last: by then the tree holds every workspace that they are about."""
        page: list[tuple[Event, WorkspaceId]] | None = None
        while page is None or len(page) == MAX_PAGE_SIZE:
            async with self._store.begin() as tx:
                if not self._started.is_set():
                    self._last_event_id = await tx.events.get_head()
                page = await tx.events.list_after(self._last_event_id, limit=MAX_PAGE_SIZE)
                await self._update_tree(tx)
            for event, org_id in page:
                self._fan_out.publish(self._address(event, org_id))
                self._last_event_id = event.event_id
            self._drop_purged()
            self._started.set()
        self._read_at = asyncio.get_running_loop().time()

    async def _update_tree(self, tx: Transaction) -> None:
        """Read the positions that changed. A purged workspace stays until all events about it are published."""
        moved: dict[WorkspaceId, None] = {}
        page: list[tuple[TreePosition, int, bool]] | None = None
        while page is None or len(page) == POSITIONS_PER_READ:
            page = await tx.events.list_positions(self._last_revision, limit=POSITIONS_PER_READ)
            for position, revision, is_purged in page:
                self._last_revision = revision
                if is_purged:
                    self._purged.append(position.workspace_id)
                else:
                    moved |= dict.fromkeys(self._tree.place(position))
        for ids in _split_into_pages(list(moved)):
            self._fan_out.publish([self._tree.find_audiences(workspace_id) for workspace_id in ids])

    def _drop_purged(self) -> None:
        for workspace_id in self._purged:
            self._tree.remove(workspace_id)
        for ids in _split_into_pages(self._purged):
            self._fan_out.publish([WorkspaceAudiences(workspace_id=workspace_id) for workspace_id in ids])
        self._purged = []

    def _address(self, event: Event, org_id: WorkspaceId) -> PublishedEvent:
        """Return the event with its audiences; `org_id` is the organisation of its workspace at that time.

        The event is not announced if the workspace was purged or has moved to another organisation since.
        """
        published_to = find_publish_audiences(event.workspace_id, org_id)
        now = self._tree.find_audiences(event.workspace_id)
        return PublishedEvent(event, published_to, now.announced_to if now.published_to == published_to else ())


def _split_into_pages(ids: Sequence[WorkspaceId]) -> Iterator[Sequence[WorkspaceId]]:
    for start in range(0, len(ids), MAX_PAGE_SIZE):
        yield ids[start : start + MAX_PAGE_SIZE]
