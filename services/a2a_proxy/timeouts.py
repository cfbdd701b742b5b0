"""Limits how long the proxy waits for an agent's answer: the idle timeout and the deadline of one dispatch."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Any

from services.a2a_proxy.model import Deadline, DispatchFailure, Fault, SendState

UNHEARD_CHECK_SECONDS = 1.0
"""Seconds between two checks of the idle timeout while signs of life cannot be heard."""


class DispatchTimeout:
    """The limits of one dispatch: a deadline, and an idle timeout that every sign of life of the target restarts.

    Use `with` around each wait for the agent. When a limit is exceeded it raises `TimeoutError`, and `expired`
    says which limit it was. Silence counts from the last sign of life, or from the time since which signs of life are
    heard without a gap, whichever is later. While they cannot be heard, only the deadline counts.
    """

    def __init__(
        self,
        idle: timedelta,
        deadline: Deadline | None,
        get_hearing_start: Callable[[], float | None],
        *,
        hears_signs_of_life: bool = True,
    ) -> None:
        """`get_hearing_start` tells since when signs of life are heard, in time of the event loop, if they are.

        Without `hears_signs_of_life` only bytes restart the idle timeout.
        """
        self.hears_signs_of_life = hears_signs_of_life
        self._loop = asyncio.get_running_loop()
        self._idle = idle
        self._allowed = deadline.allowed if deadline else timedelta()
        self._deadline = deadline.at if deadline else float("inf")
        self._get_hearing_start = get_hearing_start
        self._active_at = self._loop.time()
        self._waiting: asyncio.Task[Any] | None = None
        self._cancellations = 0
        """Requests to cancel the waiting task when the wait began."""
        self._is_interrupted = False
        self._timer: asyncio.Handle
        self.expired: DispatchFailure | None = None

    def restart_idle(self) -> None:
        """Restart the idle timeout after a sign of life."""
        self._active_at = self._loop.time()

    def change_idle(self, idle: timedelta) -> None:
        """Replace the length of the idle timeout; silence until now counts."""
        self._idle = idle
        if self._waiting is not None and self.expired is None:
            self._timer.cancel()
            self._check()

    def end_for_caller(self) -> None:
        """End the wait because the caller has left."""
        self._expire(DispatchFailure(Fault.CALLER_LEFT, SendState.UNKNOWN))

    def __enter__(self) -> None:
        """Start a wait, as `asyncio.timeout` does, whose timer of its own is not needed here."""
        task = asyncio.current_task(self._loop)
        if task is None:
            raise RuntimeError("only a task can wait")
        self._waiting, self._cancellations = task, task.cancelling()
        if self.expired is None:
            self._timer = self._loop.call_at(min(self._find_idle_end(), self._deadline), self._check)
        else:
            self._timer = self._loop.call_soon(self._interrupt)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the wait; raises `TimeoutError` if a limit was exceeded."""
        self._timer.cancel()
        task, self._waiting = self._waiting, None
        if self._is_interrupted and task is not None:
            self._is_interrupted = False
            if task.uncancel() <= self._cancellations and kind is asyncio.CancelledError:
                raise TimeoutError from error

    def _check(self) -> None:
        """End the wait if a limit is exceeded. Signs of life since the timer was set have moved the idle limit."""
        now = self._loop.time()
        if now >= self._deadline:
            self._expire(DispatchFailure(Fault.DEADLINE_EXCEEDED, SendState.UNKNOWN, self._allowed))
        elif now >= self._find_idle_end():
            self._expire(DispatchFailure(Fault.IDLE_TIMEOUT, SendState.UNKNOWN, self._idle))
        else:
            self._timer = self._loop.call_at(min(self._find_idle_end(), self._deadline), self._check)

    def _find_idle_end(self) -> float:
        """Return when the idle timeout ends, or when to look again if silence cannot be told from a silent feed."""
        hearing_start = self._get_hearing_start()
        if hearing_start is None:
            return max(self._loop.time(), self._active_at) + UNHEARD_CHECK_SECONDS
        return max(self._active_at, hearing_start) + self._idle.total_seconds()

    def _expire(self, failure: DispatchFailure) -> None:
        if self.expired is not None:
            return
        self.expired = failure
        if self._waiting is not None:
            self._timer.cancel()
            self._timer = self._loop.call_soon(self._interrupt)

    def _interrupt(self) -> None:
        """Cancel the waiting task; `__exit__` turns the cancellation into `TimeoutError`."""
        if self._waiting is not None:
            self._is_interrupted = True
            self._waiting.cancel()
