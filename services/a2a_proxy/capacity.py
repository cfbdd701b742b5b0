"""Knows how many more tasks each agent takes, and lets messages wait for a free slot (docs/spec/delivery.md, 3)."""

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import timedelta

from services.a2a_proxy.model import Route, WorkspaceId

SLOT_WAIT = timedelta(milliseconds=200)
"""Time that a message waits for a slot before the target counts as busy: short tasks end within it."""

OVERLAP_SECONDS = 2.0
"""Seconds within which a heartbeat may still count a task whose answer has arrived."""


class Capacity:
    """The slots of every target of this replica.

    An agent has as many slots as it takes tasks at a time, less the tasks that it reports and that the plane has not
    given to it. Slots are given in the order of the requests for them.
    """

    def __init__(self) -> None:
        self._targets: dict[WorkspaceId, _Slots] = {}

    def note_route(self, route: Route) -> None:
        """Note how many tasks a target takes at a time."""
        slots = self._targets.get(route.workspace_id)
        if slots is not None:
            slots.set_limit(route.max_concurrent_tasks)

    def note_active_tasks(self, workspace_id: WorkspaceId, active_tasks: int) -> None:
        """Note the tasks that an agent reports in a heartbeat."""
        slots = self._targets.get(workspace_id)
        if slots is not None:
            slots.note_active_tasks(active_tasks)
        elif active_tasks:
            self._targets[workspace_id] = slots = _Slots()
            slots.note_active_tasks(active_tasks)

    def drop(self, workspace_id: WorkspaceId) -> None:
        """Forget a removed workspace; those who wait for its slots get none."""
        self.end_waiting(workspace_id)
        self._targets.pop(workspace_id, None)

    def end_waiting(self, workspace_id: WorkspaceId) -> None:
        """Give no slot to those who wait for one, because the target takes no messages now."""
        slots = self._targets.get(workspace_id)
        if slots is not None:
            slots.end_waiting()

    def forget_other_tasks(self, workspace_id: WorkspaceId) -> None:
        """Forget what an agent reported whose instance has ended."""
        slots = self._targets.get(workspace_id)
        if slots is not None:
            slots.note_active_tasks(0)

    def has_room(self, route: Route) -> bool:
        """Whether a slot of the target is free."""
        return self._find(route).count_free() > 0

    def has_known_room(self, workspace_id: WorkspaceId) -> bool:
        """Whether a slot of a target is free, as far as this replica knows of the target."""
        slots = self._targets.get(workspace_id)
        return slots is None or slots.count_free() > 0

    def take_free(self, route: Route, most: int) -> int:
        """Take up to `most` slots that are free; returns how many."""
        return self._find(route).take_free(most)

    async def take(self, route: Route, within: timedelta | None = None) -> bool:
        """Take one slot; without `within` it waits until one is free, or `end_waiting` is called.

        Returns whether it has one.
        """
        return await self._find(route).take(within)

    def ends_tasks_within(self, route: Route, span: timedelta) -> bool:
        """Whether a slot of the target was taken or given back so recently that waiting for one is worthwhile."""
        return self._find(route).was_used_within(span)

    def release(self, workspace_id: WorkspaceId, count: int = 1) -> None:
        """Give slots back."""
        slots = self._targets.get(workspace_id)
        if slots is not None:
            slots.release(count)

    def _find(self, route: Route) -> "_Slots":
        slots = self._targets.get(route.workspace_id)
        if slots is None:
            slots = self._targets[route.workspace_id] = _Slots()
        slots.set_limit(route.max_concurrent_tasks)
        return slots


class _Slots:
    """The slots of one target."""

    def __init__(self) -> None:
        self._now: Callable[[], float] = asyncio.get_running_loop().time
        self._limit = 1
        self._taken = 0
        self._other_tasks = 0
        self._used_at = 0.0
        self._waiting: deque[asyncio.Future[bool]] = deque()
        """Their result says whether the waiting caller has got a slot."""
        self._window_end = 0.0
        self._peak = 0
        self._previous_peak = 0

    def was_used_within(self, span: timedelta) -> bool:
        return self._now() - self._used_at < span.total_seconds()

    def count_free(self) -> int:
        if self._waiting:
            return 0
        return max(0, self._limit - self._other_tasks - self._taken)

    def set_limit(self, limit: int) -> None:
        if limit != self._limit:
            self._limit = limit
            self._serve()

    def note_active_tasks(self, active_tasks: int) -> None:
        """Count the reported tasks that this replica has not given to the agent within the last seconds."""
        self._turn_window()
        self._other_tasks = max(0, active_tasks - max(self._peak, self._previous_peak, self._taken))
        self._serve()

    def end_waiting(self) -> None:
        while self._waiting:
            wakeup = self._waiting.popleft()
            if not wakeup.done():
                wakeup.set_result(False)

    def take_free(self, most: int) -> int:
        count = min(self.count_free(), most)
        if count > 0:
            self._add(count)
        return max(count, 0)

    async def take(self, within: timedelta | None) -> bool:
        if self.take_free(1):
            return True
        if within is not None and (not self._taken or within <= timedelta()):
            return False  # the tasks are not the plane's, so their end is known with the next heartbeat
        wakeup: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(wakeup)
        try:
            async with asyncio.timeout(None if within is None else within.total_seconds()):
                return await wakeup
        except TimeoutError:
            return self._leave(wakeup)
        except asyncio.CancelledError:
            if self._leave(wakeup):
                self.release(1)
            raise

    def release(self, count: int) -> None:
        self._turn_window()
        self._used_at = self._now()
        self._taken = max(0, self._taken - count)
        self._serve()

    def _leave(self, wakeup: asyncio.Future[bool]) -> bool:
        """Stop waiting; returns whether a slot was given in the meantime."""
        if wakeup in self._waiting:
            self._waiting.remove(wakeup)
        return wakeup.done() and not wakeup.cancelled() and wakeup.result()

    def _serve(self) -> None:
        """Give free slots to those who wait."""
        while self._waiting and self._limit - self._other_tasks - self._taken > 0:
            wakeup = self._waiting.popleft()
            if not wakeup.done():
                self._add(1)
                wakeup.set_result(True)

    def _add(self, count: int) -> None:
        self._turn_window()
        self._used_at = self._now()
        self._taken += count
        self._peak = max(self._peak, self._taken)

    def _turn_window(self) -> None:
        """Keep the highest number of taken slots of the present and of the previous window of time."""
        now = self._now()
        if now < self._window_end:
            return
        is_next = now < self._window_end + OVERLAP_SECONDS
        self._previous_peak = self._peak if is_next else self._taken
        self._peak = self._taken
        self._window_end = now + OVERLAP_SECONDS
