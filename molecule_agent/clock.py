"""Time, so that tests can move it."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Seconds that only ever grow, and waiting for some of them."""

    def now(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's own."""

    def now(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
