"""Lets large request bodies be parsed one after another, with pauses in which the gateway serves other requests."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from services.chassis.errors import Unavailable

MAX_WAIT_SECONDS = 30.0
"""Time that a body waits for its turn."""


class ParsingTurns:
    """Grants one turn at a time. Each waits as long as the last one took, so that parsing uses half of the time."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._turn = asyncio.Semaphore(1)
        self._monotonic = monotonic
        self._next_at = 0.0

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Wait for a turn and hold it within the `async with` block; raises `Unavailable` if none comes in time."""
        try:
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                await self._turn.acquire()
        except TimeoutError:
            raise Unavailable from None
        try:
            await asyncio.sleep(max(0.0, self._next_at - self._monotonic()))
            began = self._monotonic()
            try:
                yield
            finally:
                ended = self._monotonic()
                self._next_at = ended + (ended - began)
        finally:
            self._turn.release()
