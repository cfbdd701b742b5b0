"""How long an answer is waited for."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType

from services.a2a_proxy.model import Break, Fault, Sent


class Patience:
    """Waits until the deadline of a dispatch, and as long as its target shows signs of life.

    Each `async with` is one wait; it raises `TimeoutError` when patience is over, and `over` says why. Where nobody
    hears signs of life, silence means nothing, and only the deadline bounds the wait.
    """

    def __init__(self, idle: timedelta, deadline: timedelta | None, hearing: Callable[[], bool]) -> None:
        """`hearing` tells whether signs of life would be heard."""
        self._loop = asyncio.get_running_loop()
        self._idle = idle.total_seconds()
        self._allowed = deadline or timedelta()
        self._hearing = hearing
        self._heard_at = self._loop.time()
        self._deadline = self._heard_at + deadline.total_seconds() if deadline else float("inf")
        self.over: Break | None = None

    def heard(self) -> None:
        """Take note of a sign of life."""
        self._heard_at = self._loop.time()

    async def __aenter__(self) -> None:
        """Begin to wait."""
        self._alarm = asyncio.timeout(None)
        await self._alarm.__aenter__()
        self._set()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the wait."""
        self._timer.cancel()
        await self._alarm.__aexit__(kind, error, trace)

    def _set(self) -> None:
        self._timer = self._loop.call_at(min(self._heard_at + self._idle, self._deadline), self._look)

    def _look(self) -> None:
        """See whether patience is over: what was heard since the timer was set has moved the end."""
        now = self._loop.time()
        if now >= self._deadline:
            self.over = Break(Fault.LATE, Sent.UNKNOWN, self._allowed)
        elif now >= self._heard_at + self._idle:
            if self._hearing():
                self.over = Break(Fault.SILENT, Sent.UNKNOWN, timedelta(seconds=self._idle))
            else:
                self.heard()
        if self.over is None:
            self._set()
        else:
            self._alarm.reschedule(now)
