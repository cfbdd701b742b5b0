"""What the agent is doing now, and how the last tasks went."""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

ERROR_RATE_WINDOW = 20
"""How many ended tasks the error rate looks back on."""

MAX_TASK_LENGTH = 200
"""Characters of a message that are shown as the current task."""


class TaskTracker:
    """Tasks begun and not ended, and the verdict on the last ones."""

    def __init__(self) -> None:
        self._running: dict[object, str] = {}
        self._failures: deque[bool] = deque(maxlen=ERROR_RATE_WINDOW)
        self._idle = asyncio.Event()
        self._idle.set()
        self.changed = asyncio.Event()
        """Set whenever a task begins or ends; whoever waits for it clears it."""

    @property
    def active(self) -> int:
        return len(self._running)

    @property
    def current(self) -> str:
        """The first line of the message answered last of those under way; empty when there is none."""
        return next(reversed(self._running.values()), "")

    @property
    def error_rate(self) -> float:
        """The share of the last tasks that failed; a cancelled task is neither."""
        return sum(self._failures) / len(self._failures) if self._failures else 0.0

    @contextmanager
    def task(self, text: str) -> Iterator[None]:
        """Counts as work until left, in whichever way."""
        mark = object()
        self._running[mark] = _first_line(text)
        self._idle.clear()
        self.changed.set()
        try:
            yield
        except Exception:
            self._failures.append(True)
            raise
        else:
            self._failures.append(False)
        finally:
            del self._running[mark]
            self.changed.set()
            if not self._running:
                self._idle.set()

    async def idle(self) -> None:
        """Returns once nothing is under way."""
        await self._idle.wait()


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0][:MAX_TASK_LENGTH] if lines else ""
