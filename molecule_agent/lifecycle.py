"""Registers the agent and sends its heartbeats, and retries when the plane refuses or does not answer."""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Coroutine
from http import HTTPStatus

from molecule_agent import backoff
from molecule_agent.clock import Clock
from molecule_agent.plane_client import PlaneError, PlaneRefused, WorkspaceRemoved
from molecule_agent.task_tracker import TaskTracker

log = logging.getLogger(__name__)

CHANGE_SETTLE_SECONDS = 1.0
"""Seconds between a change of the running tasks and its heartbeat: shorter tasks cause no heartbeat of their own."""


class Lifecycle:
    """
    Three independent loops: a failure in one does not delay the others.

    `stay_registered` registers until the plane accepts it, and again when the plane refuses the token of a heartbeat:
    it was revoked, or the plane has lost it. `send_heartbeats` sends one in every `interval` (seconds),
    registered or not. `report_changes` sends one soon after a task has started or ended, so that the plane knows early
    whether the agent is busy. All loops end once the plane answers that the workspace is removed; that sets `removed`.
    """

    def __init__(
        self,
        *,
        register: Callable[[], Awaitable[str]],
        send_heartbeat: Callable[[], Awaitable[None]],
        tracker: TaskTracker,
        removed: asyncio.Event,
        interval: float,
        clock: Clock,
        random_fraction: Callable[[], float],
    ) -> None:
        self._register = register
        self._send_heartbeat = send_heartbeat
        self._tracker = tracker
        self._removed = removed
        self._interval = interval
        self._clock = clock
        self._random_fraction = random_fraction
        self._heartbeat_lock = asyncio.Lock()
        self._is_refused = asyncio.Event()
        self._reported: tuple[int, str] = (0, "")
        self._last_failure = ""
        self._last_refusal = ""

    @property
    def loops(self) -> tuple[Callable[[], Coroutine[None, None, None]], ...]:
        return self.stay_registered, self.send_heartbeats, self.report_changes

    async def stay_registered(self) -> None:
        """Register at the start, and after each refusal of the token."""
        while not self._removed.is_set():
            await self._register_with_retries()
            await self._is_refused.wait()
            if not self._removed.is_set():
                await self._clock.sleep(backoff.compute_delay(0, self._random_fraction()))

    async def send_heartbeats(self) -> None:
        """Send a heartbeat at every interval from the start; a slow heartbeat does not shift later ones."""
        due = self._clock.now()
        while not self._removed.is_set():
            due += self._interval
            await self._clock.sleep(max(0.0, due - self._clock.now()))
            await self._report()

    async def report_changes(self) -> None:
        """Send a heartbeat soon after the running tasks differ from those in the last heartbeat."""
        while not self._removed.is_set():
            await self._tracker.changed.wait()
            self._tracker.changed.clear()
            await self._clock.sleep(CHANGE_SETTLE_SECONDS)
            if (self._tracker.active_tasks, self._tracker.current_task) != self._reported:
                await self._report()

    async def _register_with_retries(self) -> None:
        """Try to register until it succeeds. A heartbeat follows the first attempt and the last."""
        for attempt in itertools.count():
            registered = await self._try_to_register()
            if registered:
                self._is_refused.clear()
            if registered or attempt == 0:
                await self._report()
            if registered or self._removed.is_set():
                return
            await self._clock.sleep(backoff.compute_delay(attempt, self._random_fraction()))

    async def _try_to_register(self) -> bool:
        try:
            mode = await self._register()
        except WorkspaceRemoved as error:
            self._stop(error)
        except PlaneError as error:
            self._log_refusal(str(error))
        else:
            log.info("registered, delivery mode %s", mode)
            return True
        return False

    async def _report(self) -> None:
        async with self._heartbeat_lock:
            if self._removed.is_set():
                return
            self._reported = self._tracker.active_tasks, self._tracker.current_task
            try:
                await self._send_heartbeat()
            except WorkspaceRemoved as error:
                self._stop(error)
            except PlaneError as error:
                self._log_outcome(str(error))
                if isinstance(error, PlaneRefused) and error.status == HTTPStatus.UNAUTHORIZED:
                    self._is_refused.set()
            else:
                self._log_outcome("")

    def _log_refusal(self, reason: str) -> None:
        """Log why the agent could not register, unless the last attempt failed for the same reason."""
        if reason != self._last_refusal:
            log.warning("register failed: %s", reason)
        self._last_refusal = reason

    def _log_outcome(self, failure: str) -> None:
        """Log when heartbeats begin to fail, fail for another reason, or succeed again; do not log each heartbeat."""
        if failure == self._last_failure:
            return
        if failure:
            log.warning("heartbeats fail: %s", failure)
        else:
            log.info("heartbeats are accepted again")
        self._last_failure = failure

    def _stop(self, error: WorkspaceRemoved) -> None:
        log.info("the workspace was removed, the agent stops: %s", error)
        self._removed.set()
        self._is_refused.set()
