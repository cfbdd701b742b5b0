"""Limits how long the proxy waits for an agent's answer: the idle timeout and the deadline of one dispatch."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType

from services.a2a_proxy.model import DispatchFailure, Fault, SendState


class DispatchTimeout:
    """The two limits of one dispatch: a deadline, and an idle timeout that every sign of life of the target restarts.

    Use `async with` around each wait for the agent. When a limit is exceeded it raises `TimeoutError`, and `expired`
    says which limit it was. While the feed that carries the signs of life is not fresh, only the deadline counts.
    """

    def __init__(self, idle: timedelta, deadline: timedelta | None, is_feed_fresh: Callable[[], bool]) -> None:
        """`is_feed_fresh` says whether signs of life would arrive."""
        self._loop = asyncio.get_running_loop()
        self._idle_seconds = idle.total_seconds()
        self._allowed = deadline or timedelta()
        self._is_feed_fresh = is_feed_fresh
        self._active_at = self._loop.time()
        self._deadline = self._active_at + deadline.total_seconds() if deadline else float("inf")
        self.expired: DispatchFailure | None = None

    def restart_idle(self) -> None:
        """Restart the idle timeout after a sign of life."""
        self._active_at = self._loop.time()

    async def __aenter__(self) -> None:
        """Start a wait."""
        self._timeout = asyncio.timeout(None)
        await self._timeout.__aenter__()
        self._schedule_check()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the wait; raises `TimeoutError` if a limit was exceeded."""
        self._timer.cancel()
        await self._timeout.__aexit__(kind, error, trace)

    def _schedule_check(self) -> None:
        self._timer = self._loop.call_at(min(self._active_at + self._idle_seconds, self._deadline), self._check)

    def _check(self) -> None:
        """End the wait if a limit is exceeded. Signs of life since the timer was set have moved the idle limit."""
        now = self._loop.time()
        if now >= self._deadline:
            self.expired = DispatchFailure(Fault.DEADLINE_EXCEEDED, SendState.UNKNOWN, self._allowed)
        elif now >= self._active_at + self._idle_seconds:
            if self._is_feed_fresh():
                self.expired = DispatchFailure(
                    Fault.IDLE_TIMEOUT, SendState.UNKNOWN, timedelta(seconds=self._idle_seconds)
                )
            else:
                self.restart_idle()
        if self.expired is None:
            self._schedule_check()
        else:
            self._timeout.reschedule(now)
