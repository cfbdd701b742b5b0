"""Tracks the running tasks of the agent and the error rate of the last ones."""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from molecule_agent.adapter import InputRequired, TurnRejected

ERROR_RATE_WINDOW = 20
"""Ended tasks over which the error rate is computed."""

MAX_TASK_LENGTH = 200
"""Characters of a message that are shown as the current task."""


class TaskTracker:
    """Counts the running tasks and remembers which of the last tasks failed."""

    def __init__(self) -> None:
        self._running: dict[object, str] = {}
        self._failures: deque[bool] = deque(maxlen=ERROR_RATE_WINDOW)
        self._idle = asyncio.Event()
        self._idle.set()
        self.changed = asyncio.Event()
        """Set whenever a task starts or ends; the waiting loop clears it."""

    @property
    def active_tasks(self) -> int:
        return len(self._running)

    @property
    def current_task(self) -> str:
        """The first line of the message of the task that started last; empty without a running task."""
        return next(reversed(self._running.values()), "")

    @property
    def error_rate(self) -> float:
        """The share of the last tasks that failed, from 0 to 1; cancelled tasks do not count."""
        return sum(self._failures) / len(self._failures) if self._failures else 0.0

    @contextmanager
    def track(self, text: str) -> Iterator[None]:
        """Count a task as running for the length of the block; an exception counts it as failed.

        A message that the adapter rejects, or answers with a question, is no failure.
        """
        key = object()
        self._running[key] = _first_line(text)
        self._idle.clear()
        self.changed.set()
        try:
            yield
        except Exception as error:
            self._failures.append(not isinstance(error, TurnRejected | InputRequired))
            raise
        else:
            self._failures.append(False)
        finally:
            del self._running[key]
            self.changed.set()
            if not self._running:
                self._idle.set()

    async def wait_until_idle(self) -> None:
        """Return once no task is running."""
        await self._idle.wait()


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0][:MAX_TASK_LENGTH] if lines else ""
