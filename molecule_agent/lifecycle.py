"""Stays registered and keeps beating, whatever the plane answers."""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Coroutine

from molecule_agent import backoff
from molecule_agent.clock import Clock
from molecule_agent.plane_client import PlaneError, WorkspaceRemoved
from molecule_agent.task_tracker import TaskTracker

log = logging.getLogger(__name__)

CHANGE_SETTLE_SECONDS = 1.0
"""Seconds until a change of work is told: shorter tasks come and go without a heartbeat of their own."""


class Lifecycle:
    """
    Three loops that know nothing of each other's failures.

    `stay_registered` asks until the plane agrees; `beat_steadily` never waits for it; `beat_on_change` tells the
    plane early that there is room again, or none. All of them end once the plane says that the workspace is removed,
    which sets `removed`.
    """

    def __init__(
        self,
        *,
        register: Callable[[], Awaitable[str]],
        beat: Callable[[], Awaitable[None]],
        work: TaskTracker,
        removed: asyncio.Event,
        interval: float,
        clock: Clock,
        luck: Callable[[], float],
    ) -> None:
        self._register = register
        self._heartbeat = beat
        self._work = work
        self._removed = removed
        self._interval = interval
        self._clock = clock
        self._luck = luck
        self._one_at_a_time = asyncio.Lock()
        self._said: tuple[int, str] = (0, "")
        self._complaint = ""

    @property
    def loops(self) -> tuple[Callable[[], Coroutine[None, None, None]], ...]:
        return self.stay_registered, self.beat_steadily, self.beat_on_change

    async def stay_registered(self) -> None:
        """Register, again and again until it succeeds; the first heartbeat follows the first attempt."""
        for attempt in itertools.count():
            registered = await self._registers()
            if registered or attempt == 0:
                await self._beat()
            if registered or self._removed.is_set():
                return
            await self._clock.sleep(backoff.delay(attempt, self._luck()))

    async def beat_steadily(self) -> None:
        """Beat at every interval from the start; a beat that takes long moves none of those that follow."""
        due = self._clock.now()
        while not self._removed.is_set():
            due += self._interval
            await self._clock.sleep(max(0.0, due - self._clock.now()))
            await self._beat()

    async def beat_on_change(self) -> None:
        """Beat soon after the work differs from what the last heartbeat said."""
        while not self._removed.is_set():
            await self._work.changed.wait()
            self._work.changed.clear()
            await self._clock.sleep(CHANGE_SETTLE_SECONDS)
            if (self._work.active, self._work.current) != self._said:
                await self._beat()

    async def _registers(self) -> bool:
        try:
            mode = await self._register()
        except WorkspaceRemoved as error:
            self._end(error)
        except PlaneError as error:
            log.warning("register failed: %s", error)
        else:
            log.info("registered, delivery mode %s", mode)
            return True
        return False

    async def _beat(self) -> None:
        async with self._one_at_a_time:
            if self._removed.is_set():
                return
            self._said = self._work.active, self._work.current
            try:
                await self._heartbeat()
            except WorkspaceRemoved as error:
                self._end(error)
            except PlaneError as error:
                self._complain(str(error))
            else:
                self._complain("")

    def _complain(self, complaint: str) -> None:
        """Tell the log when heartbeats start to fail, fail differently, or succeed again; not each of them."""
        if complaint == self._complaint:
            return
        if complaint:
            log.warning("heartbeats fail: %s", complaint)
        else:
            log.info("heartbeats are accepted again")
        self._complaint = complaint

    def _end(self, error: WorkspaceRemoved) -> None:
        log.info("the workspace was removed, the agent stops: %s", error)
        self._removed.set()
