"""Delivers queued messages: claims as many of a target as it has room for, and sends them."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import partial
from typing import assert_never

import structlog

from services.a2a_proxy import outcome, routing
from services.a2a_proxy.agent_client import MAX_STORED_ANSWER_BYTES
from services.a2a_proxy.capacity import Capacity
from services.a2a_proxy.clients import RegistryClient
from services.a2a_proxy.errors import BudgetExceeded
from services.a2a_proxy.model import (
    Absence,
    Absent,
    Answer,
    Answered,
    Busy,
    Deadline,
    Failed,
    Poll,
    Push,
    Route,
    SendState,
    Status,
    Stream,
    StreamInterrupted,
    WorkspaceId,
)
from services.a2a_proxy.queue import rules
from services.a2a_proxy.queue.model import (
    AttemptFailed,
    AttemptResult,
    Change,
    Delivered,
    LeaseKind,
    MessageState,
    Postponed,
    QueuedMessage,
    Result,
    StillBusy,
    Undeliverable,
    WaitReason,
)
from services.a2a_proxy.queue.settlement import Settlement
from services.a2a_proxy.queue.store.transaction import QueueStore
from services.a2a_proxy.queue.waiting_notes import WaitingNotes
from services.a2a_proxy.route_cache import RouteCache
from services.a2a_proxy.sending import CALLER_HEADER, MAX_WORKSPACE_CALL_TIMEOUT, OPERATOR, Outgoing, Sender
from services.a2a_proxy.work import WorkTracker
from services.chassis.errors import ServiceError, Unavailable
from services.chassis.large_bodies import run_by_size

log = structlog.get_logger()

SWEEP_INTERVAL = timedelta(seconds=5)
"""Interval at which all targets with queued messages are looked at, in case a wake-up was missed."""

MAX_CLAIMED = 64
"""Messages of one target that are claimed at once."""

MAX_CLAIMED_BYTES = 16 * 1024 * 1024
"""Bytes of the messages of one target that are claimed at once; the first one may be larger."""

MAX_CLAIMING_TARGETS = 4
"""Targets whose messages are claimed at the same time; the connections to the database are shared with others."""

MAX_STREAM_BYTES = 1024 * 1024
"""Bytes at the end of a streamed answer in which its last event is looked for."""

ABSENCE_INTERVAL = timedelta(seconds=30)
"""Time after which a target that cannot take messages is looked at again, unless it changes earlier."""

MIN_PAUSE = timedelta(milliseconds=50)
"""Least time until a target is looked at again, where another replica has locked what is due."""

FIRST_SERVER_ERROR = 500

REMOVED = "the workspace was removed"

MAX_DROPPED = 500
"""Messages of a removed workspace that one transaction drops."""

MAX_EXPEDITED = 1000
"""Messages of a target whose delays are ended at once."""


class Drain:
    """Delivers the queued messages of all targets, each as fast as the target has room."""

    def __init__(
        self,
        store: QueueStore,
        *,
        sender: Sender,
        settlement: Settlement,
        route_cache: RouteCache,
        capacity: Capacity,
        registry: RegistryClient,
        on_poll: Callable[[WorkspaceId], None],
        work: WorkTracker,
        owner: str,
        lease: timedelta,
    ) -> None:
        """`owner` names this process in leases; `on_poll` is called for a target that fetches its messages."""
        self._store = store
        self._sender = sender
        self._settlement = settlement
        self._route_cache = route_cache
        self._capacity = capacity
        self._registry = registry
        self._on_poll = on_poll
        self._work = work
        self._owner = owner
        self._lease = lease
        self._group: asyncio.TaskGroup | None = None
        self._is_stopping = False
        self._drained: dict[WorkspaceId, bool] = {}
        self._backlogs: dict[WorkspaceId, asyncio.Event] = {}
        """Set when the messages of a target that were due are delivered, or wait for something else."""
        self._timers: dict[WorkspaceId, asyncio.TimerHandle] = {}
        self._expedited: set[WorkspaceId] = set()
        self._woken: dict[WorkspaceId, tuple[Route, float]] = {}
        """The targets that were asked to wake: with which route, and when."""
        self._notes = WaitingNotes(store)
        self._claiming = asyncio.Semaphore(MAX_CLAIMING_TARGETS)

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as self._group:
            while True:
                await self._sweep()
                await asyncio.sleep(SWEEP_INTERVAL.total_seconds())

    def stop(self) -> None:
        """Claim no further messages."""
        self._is_stopping = True

    def has_backlog(self, target: WorkspaceId) -> bool:
        """Whether queued messages of a target are due."""
        return target in self._drained

    async def wait_for_backlog(self, target: WorkspaceId, within: timedelta) -> bool:
        """Wait until no queued message of a target is due; returns whether that is so within the time."""
        if not self.has_backlog(target):
            return True
        is_delivered = self._backlogs.setdefault(target, asyncio.Event())
        try:
            async with asyncio.timeout(within.total_seconds()):
                await is_delivered.wait()
        except TimeoutError:
            return False
        return True

    def wake(self, target: WorkspaceId) -> None:
        """Look at the messages of a target now."""
        if self._group is None or self._is_stopping:
            return
        if target in self._drained:
            self._drained[target] = True
            return
        self._drained[target] = False
        self._start(self._drain(target))

    def note_room(self, target: WorkspaceId) -> None:
        """Deliver the messages of a target that wait for room, or for it to come online, if there are any."""
        is_looked_at = target in self._timers or target in self._drained
        if self._group is None or self._is_stopping or not is_looked_at or target in self._expedited:
            return
        self._expedited.add(target)
        self._start(self._expedite(target))

    async def _expedite(self, target: WorkspaceId) -> None:
        """End the delays that were meant for a target without room."""
        try:
            async with self._store.begin() as tx:
                await tx.expedite(target, limit=MAX_EXPEDITED)
        except Unavailable:
            return  # the timer stays
        except Exception:
            log.exception("delays of queued messages not ended", target=target)
            return
        finally:
            self._expedited.discard(target)
        self.wake(target)

    async def _sweep(self) -> None:
        try:
            async with self._store.begin() as tx:
                targets = await tx.list_waiting_targets()
        except Unavailable:
            return
        waiting = set(targets)
        self._woken = {target: woken for target, woken in self._woken.items() if target in waiting}
        self._notes.keep(waiting)
        for target in targets:
            self.wake(target)

    async def _drain(self, target: WorkspaceId) -> None:
        """Deliver the messages of one target until none is due."""
        try:
            while True:
                self._drained[target] = False
                self._cancel_timer(target)
                with self._work.hold(target):  # before the route is read: see WorkReporter
                    due = await self._deliver_due(target)
                if not self._drained[target]:
                    break
            if due is not None:
                self._set_timer(target, due)
        except ServiceError as error:
            log.info("queued messages wait", target=target, reason=error.reason)
            self._set_timer(target, SWEEP_INTERVAL)
        except Exception:  # the messages of other targets do not wait for this fault
            log.exception("queued messages not delivered", target=target)
            self._set_timer(target, SWEEP_INTERVAL)
        finally:
            self._drained.pop(target, None)
            if (is_delivered := self._backlogs.pop(target, None)) is not None:
                is_delivered.set()

    async def _deliver_due(self, target: WorkspaceId) -> timedelta | None:
        """Deliver what is due; returns the time after which to look again, `None` for the next change of the target."""
        while not self._is_stopping:
            found = await self._route_cache.find(target, None)
            route = found.route
            if route is None or route.status is Status.REMOVED:
                await self._drop(target)
                return None
            match routing.decide(route):
                case Poll():
                    self._on_poll(target)
                    return await self._find_next_due(target, is_later=True)
                case Absent(absence, error):
                    return await self._wait_for_target(route, absence, error)
                case Push() as push:
                    if routing.has_spent_budget(route):
                        await self._notes.note(target, WaitReason.BUDGET, BudgetExceeded.message)
                        return ABSENCE_INTERVAL
                    if not await self._deliver_batch(route, push):
                        return await self._find_next_due(target)
                case unknown:
                    assert_never(unknown)
        return None

    async def _drop(self, target: WorkspaceId) -> None:
        """Drop what waits for a target that does not exist any more."""
        total, count = 0, MAX_DROPPED
        while count == MAX_DROPPED:
            async with self._store.begin() as tx:
                queued = frozenset({MessageState.QUEUED})
                found = await tx.lock_messages(targets=[target], states=queued, limit=MAX_DROPPED)
                now = await tx.now()
                await tx.apply([Change(message, rules.drop(message, REMOVED, now=now)) for message in found])
            count = len(found)
            total += count
        if total:
            log.info("messages of a removed workspace dropped", target=target, messages=total)

    async def _wait_for_target(self, route: Route, absence: Absence, error: ServiceError) -> timedelta:
        """Note why the messages wait, and have a hibernated target woken."""
        text = error.message
        if absence is Absence.WAKING:
            text = await self._have_woken(route) or text
        if route.status_reason and absence is Absence.UNAVAILABLE:
            text = f"{text} ({route.status_reason})"
        await self._notes.note(route.workspace_id, _REASONS[absence], text)
        return ABSENCE_INTERVAL

    async def _have_woken(self, route: Route) -> str:
        """Have a target woken, once for many messages; returns why it cannot be woken, if so."""
        now = asyncio.get_running_loop().time()
        woken_route, woken_at = self._woken.get(route.workspace_id, (None, 0.0))
        if woken_route == route and now < woken_at + ABSENCE_INTERVAL.total_seconds():
            return ""
        try:
            await self._registry.wake(route.workspace_id)
        except ServiceError as refused:
            return f"the workspace cannot be woken: {refused.message}"
        self._woken[route.workspace_id] = route, now
        return ""

    async def _find_next_due(self, target: WorkspaceId, *, is_later: bool = False) -> timedelta | None:
        async with self._store.begin() as tx:
            return await tx.find_next_due(target, is_later=is_later)

    async def _deliver_batch(self, route: Route, push: Push) -> bool:
        """Claim as many messages as there is room for, and start their delivery; returns whether there may be more."""
        target = route.workspace_id
        if not await self._capacity.take(route):
            return True  # the target takes no messages any more
        slots = 1 + self._capacity.take_free(route, MAX_CLAIMED - 1)
        claimed: list[QueuedMessage] = []
        try:
            if self._is_stopping or (await self._route_cache.find(target, None)).route != route:
                return True  # the target has changed while its messages waited for a slot
            claimed = await self._claim(target, slots)
        finally:
            self._capacity.release(target, slots - len(claimed))
        for message in claimed:
            self._work.begin(target)
            self._start(self._deliver(message, route, push))
        return bool(claimed)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        """Run work until the drain is cancelled."""
        if self._group is None:
            raise RuntimeError("the drain does not run")
        self._group.create_task(work)

    async def _claim(self, target: WorkspaceId, limit: int) -> list[QueuedMessage]:
        async with self._claiming, self._store.begin() as tx:
            claimed = await tx.claim(
                target,
                limit=limit,
                max_bytes=MAX_CLAIMED_BYTES,
                kind=LeaseKind.DISPATCH,
                owner=self._owner,
                lease=self._lease,
            )
        self._settlement.hold(claimed)
        return claimed

    async def _deliver(self, message: QueuedMessage, route: Route, push: Push) -> None:
        """Make one attempt, and store its result; its work has begun before."""
        try:
            await self._deliver_and_settle(message, route, push)
        finally:
            self._work.end(message.target_id)

    async def _deliver_and_settle(self, message: QueuedMessage, route: Route, push: Push) -> None:
        stopwatch = _Stopwatch()
        repeatable = message.is_idempotent or route.has_idempotent_delivery
        try:
            result = await self._attempt(message, route, push, repeatable=repeatable)
        except Exception:
            log.exception("delivery of a queued message failed", message=message.id)
            result = AttemptFailed("internal error", may_have_arrived=True)
        finally:
            self._capacity.release(message.target_id)
        agent_time = stopwatch.measure_time()
        try:
            await self._settlement.settle(message, result, repeatable=repeatable, agent_time=agent_time)
        except Exception:  # the lease ends the attempt
            log.exception("result of a queued message not stored", message=message.id)
            self._settlement.give_up(message)

    async def _attempt(self, message: QueuedMessage, route: Route, push: Push, *, repeatable: bool) -> AttemptResult:
        try:
            allowed = (await self._route_cache.find(message.target_id, message.caller_id)).allowed
        except ServiceError as undecided:
            return Postponed(undecided.message)
        if not allowed:
            return Undeliverable("access denied: workspaces cannot communicate per hierarchy rules")
        deadline = None if message.caller_id is None else _build_deadline(MAX_WORKSPACE_CALL_TIMEOUT)
        caller = message.caller_id or message.caller_label or OPERATOR
        outgoing = Outgoing(
            method=message.method,
            body=message.body,
            headers={**message.headers, CALLER_HEADER: caller},
            deadline=deadline,
            max_answer_bytes=MAX_STORED_ANSWER_BYTES,
            caller_token_id=message.caller_token_id,
        )
        match await self._sender.send(outgoing, route, push):
            case Answered(answer):
                if isinstance(answer, Stream):
                    return await _read_stream(answer)
                return await run_by_size(len(answer.body), partial(_judge_answer, repeatable=repeatable), answer)
            case Busy(retry_after):
                return StillBusy(retry_after)
            case Failed(error):
                return _judge_failure(error, repeatable=repeatable)
            case unknown:
                assert_never(unknown)

    def _set_timer(self, target: WorkspaceId, due: timedelta) -> None:
        self._cancel_timer(target)
        seconds = max(due, MIN_PAUSE).total_seconds()
        self._timers[target] = asyncio.get_running_loop().call_later(seconds, self._on_timer, target)

    def _cancel_timer(self, target: WorkspaceId) -> None:
        timer = self._timers.pop(target, None)
        if timer is not None:
            timer.cancel()

    def _on_timer(self, target: WorkspaceId) -> None:
        self._timers.pop(target, None)
        self.wake(target)


class _Stopwatch:
    """Measures the time since the message was sent."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()

    def measure_time(self) -> timedelta:
        return timedelta(seconds=self._loop.time() - self._began)


def _build_deadline(allowed: timedelta) -> Deadline:
    return Deadline(asyncio.get_running_loop().time() + allowed.total_seconds(), allowed)


def _judge_answer(answer: Answer, *, repeatable: bool) -> AttemptResult:
    """Return what an answer means; a server error is final unless the agent may receive the message twice."""
    is_error = outcome.is_error(answer)
    if answer.status >= FIRST_SERVER_ERROR and repeatable:
        return AttemptFailed(f"the agent answered with status {answer.status}", may_have_arrived=True)
    return Delivered(outcome.hide_foreign_body(answer), Result.ERROR if is_error else Result.OK)


def _judge_failure(error: ServiceError, *, repeatable: bool) -> AttemptResult:
    """Return what a failed attempt means. Once an answer has begun, the agent has received the message."""
    if error.details.get("delivery_confirmed") and not repeatable:
        return Delivered(None, Result.ERROR, error.message)
    may_have_arrived = error.details.get("delivery", SendState.NOT_SENT) != SendState.NOT_SENT
    return AttemptFailed(error.message, may_have_arrived=may_have_arrived or "delivery_confirmed" in error.details)


async def _read_stream(stream: Stream) -> AttemptResult:
    """Read a streamed answer to its end; the last event is the answer."""
    tail = b""
    try:
        async for chunk in stream.chunks:
            tail = (tail + chunk)[-MAX_STREAM_BYTES:]
    except StreamInterrupted:
        return Delivered(None, Result.ERROR, "upstream stream interrupted")
    body = outcome.find_last_event(tail) or b""
    answer = Answer(status=stream.status, headers={"content-type": "application/json"}, body=body)
    return Delivered(answer, Result.ERROR if outcome.is_error(answer) else Result.OK)


_REASONS = {
    Absence.WAKING: WaitReason.WAKING,
    Absence.STARTING: WaitReason.STARTING,
    Absence.RESTARTING: WaitReason.OFFLINE,
    Absence.UNAVAILABLE: WaitReason.UNAVAILABLE,
}
