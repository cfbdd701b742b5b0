"""Caches the desired state of every workspace, kept current by the registry's feed."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from datetime import timedelta

from services.chassis.backoff import Backoff
from services.chassis.feeds import FEED_SILENCE_LIMIT, FeedReader
from services.provisioner.clients import RegistryClient
from services.provisioner.model import DesiredInstance, FeedSignal, WorkspaceId

RECONNECT_BACKOFF = Backoff(first=timedelta(milliseconds=50), maximum=timedelta(seconds=1))
"""The delay before a broken feed is opened again. The maximum is short, so that a restarted registry is found soon."""


class DesiredStateCache:
    """The desired instance of every workspace. It is empty, and not fresh, unless `follow` is running."""

    def __init__(
        self,
        registry: RegistryClient,
        *,
        silence_limit: timedelta = FEED_SILENCE_LIMIT,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`monotonic` returns seconds."""
        self._feed = FeedReader[DesiredInstance | FeedSignal](
            "workspaces",
            registry.watch,
            backoff=RECONNECT_BACKOFF,
            silence_limit=silence_limit,
            ends_outage=lambda message: message is FeedSignal.SNAPSHOT_DONE,
            monotonic=monotonic,
        )
        self._desired: dict[WorkspaceId, DesiredInstance] = {}
        self._has_snapshot = False
        self._message_received = asyncio.Event()

    def get(self, workspace_id: WorkspaceId) -> DesiredInstance | None:
        """Return the desired instance of a workspace; `None` if the feed has not sent one."""
        return self._desired.get(workspace_id)

    def list_all(self) -> list[DesiredInstance]:
        """Return every desired instance."""
        return list(self._desired.values())

    def is_fresh(self) -> bool:
        """Whether the cache is complete and current, so that the provisioner may act on it."""
        return self._has_snapshot and self._feed.is_fresh()

    async def wait_until_fresh(self) -> None:
        """Wait until the cache is complete and current."""
        while not self.is_fresh():
            await self._message_received.wait()

    async def follow(self) -> AsyncGenerator[WorkspaceId | None, None]:
        """Yield the id of each workspace that changed or whose agent came up; `None` after each snapshot.

        A feed that breaks or falls silent is opened again and starts with a new snapshot, so no change is missed and
        workspaces that no longer exist are dropped. The cache is cleared when this generator ends.
        """
        try:
            while True:
                async with self._feed.connection() as messages:
                    async for changed in self._apply(messages):
                        yield changed
        finally:
            self._desired.clear()
            self._has_snapshot = False

    async def _apply(
        self, messages: AsyncIterator[DesiredInstance | FeedSignal]
    ) -> AsyncGenerator[WorkspaceId | None, None]:
        """Apply the messages of one connection. Until the snapshot is complete, single changes are not yielded."""
        self._has_snapshot = False
        in_snapshot: set[WorkspaceId] = set()
        async for message in messages:
            match message:
                case DesiredInstance():
                    changed = _is_news(self._desired.get(message.workspace_id), message)
                    self._desired[message.workspace_id] = message
                    if not self._has_snapshot:
                        in_snapshot.add(message.workspace_id)
                    elif changed:
                        yield message.workspace_id
                case FeedSignal.SNAPSHOT_DONE if not self._has_snapshot:
                    self._desired = {id_: found for id_, found in self._desired.items() if id_ in in_snapshot}
                    self._has_snapshot = True
                    yield None
            self._message_received.set()
            self._message_received = asyncio.Event()


def _is_news(before: DesiredInstance | None, now: DesiredInstance) -> bool:
    """Whether the reconciler has to look: there may be a step to take, or a start has ended."""
    return before != now or (before.is_provisioning and not now.is_provisioning)
