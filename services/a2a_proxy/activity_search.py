"""Searches the activity of workspaces, with a bounded share of the database."""

import asyncio
from datetime import timedelta

from services.a2a_proxy.errors import InvalidActivityQuery, SearchTimeout
from services.a2a_proxy.model import Activity, ActivitySearch
from services.a2a_proxy.store import Store

MAX_QUERY_BYTES = 1000

MAX_CONCURRENT_SEARCHES = 2
"""Searches of this replica at a time; each may occupy a processor of the database and one of its connections."""

MAX_WAIT = timedelta(seconds=2)
"""Time that a search waits for others to end."""

STATEMENT_TIMEOUT = timedelta(seconds=2)
"""Time that the database may take for a search; with the wait it is less than the gateway waits for a call."""


class ActivitySearches:
    """Runs few searches at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._running = asyncio.Semaphore(MAX_CONCURRENT_SEARCHES)

    async def search(self, search: ActivitySearch) -> list[Activity]:
        """Return the newest rows that contain the text; raises `InvalidActivityQuery` or `SearchTimeout`."""
        if len(search.text.encode()) > MAX_QUERY_BYTES:
            raise InvalidActivityQuery(f"q must be <= {MAX_QUERY_BYTES} bytes")
        await self._wait_for_turn()
        try:
            async with self._store.begin() as tx:
                return await tx.search(search, within=STATEMENT_TIMEOUT)
        finally:
            self._running.release()

    async def _wait_for_turn(self) -> None:
        try:
            async with asyncio.timeout(MAX_WAIT.total_seconds()):
                await self._running.acquire()
        except TimeoutError:
            raise SearchTimeout from None
