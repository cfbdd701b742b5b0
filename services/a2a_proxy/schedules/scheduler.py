"""Fires the schedules that are due, each time at most once."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never
from uuid import uuid4

import structlog

from services.a2a_proxy import outcome
from services.a2a_proxy.model import (
    Activity,
    Answer,
    AnswerReceipt,
    FailureReceipt,
    IncomingMessage,
    QueueReceipt,
    Receipt,
    Stream,
    StreamInterrupted,
    WorkspaceId,
)
from services.a2a_proxy.schedules import messages, rules
from services.a2a_proxy.schedules.rules import Action, DueSchedule, Plan, Run, RunOutcome, Schedule
from services.a2a_proxy.schedules.store import ScheduleStore
from services.a2a_proxy.store import Store
from services.a2a_proxy.stored_events.store import StoredEvents
from services.chassis.clock import Clock
from services.chassis.errors import ServiceError, Unavailable

log = structlog.get_logger()

MAX_STARTING_RUNS = 10
"""Runs that were started within `START_TIME`."""

START_TIME = timedelta(seconds=10)
"""Time after which a run that waits for its agent no longer keeps others from starting."""

MAX_RUNS = 200
"""Runs at the same time, which bounds the memory of their prompts and answers."""

DUE_PER_READ = 200
"""Due schedules that one statement reads."""

ORPHAN_AGE = timedelta(seconds=messages.RUN_TIMEOUT_SECONDS, minutes=1)
"""Age of a run that has not ended from which no process waits for its answer any more."""

FINISH_ATTEMPTS = 60
"""Attempts to store the end of a run while the database is unavailable."""

RETRY_INTERVAL = timedelta(seconds=1)

ANSWER_TAIL_BYTES = 64 * 1024
"""Bytes at the end of a streamed answer that are kept."""


@dataclass(frozen=True, slots=True)
class _UnderWay:
    workspace_id: WorkspaceId
    began: float


class Scheduler:
    """Looks for due schedules in each tick, and sends their prompts; one replica at a time ticks.

    A schedule is claimed by moving its next time in the transaction that records the run, before anything is sent. So a
    crash may lose a run, which is found and recorded later, but never repeats one.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        send: Callable[[IncomingMessage], Awaitable[Receipt]],
        record_activity: Callable[[Activity], Awaitable[None]],
        has_room: Callable[[WorkspaceId, int], bool],
        is_native: Callable[[WorkspaceId], Awaitable[bool]] | None = None,
        is_ready: Callable[[], bool] = lambda: True,
    ) -> None:
        """`has_room` receives a workspace and how many runs of its schedules last.

        `is_native` says whether the agent has a scheduler of its own; without it every schedule fires. While `is_ready`
        is false nothing fires.
        """
        self._store = store
        self._clock = clock
        self._send = send
        self._record_activity = record_activity
        self._has_room = has_room
        self._is_native = is_native
        self._is_ready = is_ready
        self._group: asyncio.TaskGroup | None = None
        self._under_way: dict[str, _UnderWay] = {}

    async def own_runs(self) -> None:
        """Own the tasks of all runs until cancelled: a run continues after the tick that started it."""
        async with asyncio.TaskGroup() as self._group:
            await asyncio.Event().wait()

    async def tick(self) -> None:
        """Fire or skip each schedule that is due; raises `Unavailable`."""
        if self._group is None or not self._is_ready():
            raise Unavailable
        await self._end_orphans()
        now, last = self._clock.now(), None
        while True:
            async with self._store.begin() as tx:
                due = await ScheduleStore(tx.connection).list_due(now, after=last, limit=DUE_PER_READ)
            for one in due:
                await self._handle(self._group, one, now)
            if len(due) < DUE_PER_READ:
                return
            last = due[-1]

    async def _handle(self, group: asyncio.TaskGroup, due: DueSchedule, now: datetime) -> None:
        runs = Counter(one.workspace_id for one in self._under_way.values())
        plan = rules.plan_run(
            due,
            now,
            is_native=self._is_native is not None and await self._is_native(due.workspace_id),
            has_room=self._has_room(due.workspace_id, runs[due.workspace_id]),
            is_running=due.id in self._under_way,
        )
        match plan.action:
            case Action.WAIT:
                return
            case Action.LEAVE:
                await self._leave_to_agent(due, plan, now)
            case Action.SKIP:
                await self._skip(due, plan, now)
            case Action.FIRE:
                if self._may_start():
                    await self._fire(group, due, plan, now)
            case _:
                assert_never(plan.action)

    def _may_start(self) -> bool:
        since = asyncio.get_running_loop().time() - START_TIME.total_seconds()
        starting = sum(one.began > since for one in self._under_way.values())
        return starting < MAX_STARTING_RUNS and len(self._under_way) < MAX_RUNS

    async def _leave_to_agent(self, due: DueSchedule, plan: Plan, now: datetime) -> None:
        async with self._store.begin() as tx:
            schedules = ScheduleStore(tx.connection)
            schedule = await schedules.claim(due)
            if schedule is not None:
                await schedules.update(rules.leave_to_agent(schedule, plan, now))

    async def _skip(self, due: DueSchedule, plan: Plan, now: datetime) -> None:
        async with self._store.begin() as tx:
            schedules = ScheduleStore(tx.connection)
            schedule = await schedules.claim(due)
            if schedule is None:
                return
            skipped, run = rules.start_run(schedule, plan, run_id=str(uuid4()), now=now)
            await schedules.update(skipped)
            await schedules.insert_run(run, kept=rules.MAX_RUNS_PER_SCHEDULE)
            await StoredEvents(tx.connection).append([rules.build_event(run, event_id=str(uuid4()))])
        log.info("schedule skipped", workspace=run.workspace_id, schedule=run.schedule_id, reason=plan.reason)
        await self._record(run)

    async def _fire(self, group: asyncio.TaskGroup, due: DueSchedule, plan: Plan, now: datetime) -> None:
        async with self._store.begin() as tx:
            schedules = ScheduleStore(tx.connection)
            schedule = await schedules.claim(due)
            if schedule is None:
                return
            claimed, run = rules.start_run(schedule, plan, run_id=str(uuid4()), now=now)
            await schedules.update(claimed)
            await schedules.insert_run(run, kept=rules.MAX_RUNS_PER_SCHEDULE)
        self._under_way[due.id] = _UnderWay(due.workspace_id, asyncio.get_running_loop().time())
        group.create_task(self._run(claimed, run))

    async def _run(self, schedule: Schedule, run: Run) -> None:
        """Send the prompt of a claimed schedule, and store what came of it. Its errors do not affect other runs."""
        started = time.perf_counter()
        try:
            result = await self._send_prompt(schedule, run)
            await self._finish(run, result, timedelta(seconds=time.perf_counter() - started))
        except Exception:
            log.exception("end of a run lost", workspace=schedule.workspace_id, schedule=schedule.id)
        finally:
            self._under_way.pop(schedule.id, None)

    async def _send_prompt(self, schedule: Schedule, run: Run) -> RunOutcome:
        try:
            began_at = asyncio.get_running_loop().time()
            receipt = await self._send(messages.build_message(schedule, run.scheduled_at, began_at=began_at))
            return await self._judge(receipt)
        except ServiceError as error:
            return RunOutcome(is_ok=False, detail=error.message)
        except Exception:
            log.exception("run failed", workspace=schedule.workspace_id, schedule=schedule.id)
            return RunOutcome(is_ok=False, detail="internal error")

    async def _judge(self, receipt: Receipt) -> RunOutcome:
        match receipt:
            case QueueReceipt():
                return messages.judge_queued(receipt)
            case FailureReceipt():
                return messages.judge_failure(receipt)
            case AnswerReceipt(answer=Stream() as stream):
                try:
                    tail = await _read_tail(stream)
                except StreamInterrupted:
                    return RunOutcome(is_ok=False, detail="upstream stream interrupted")
                return messages.judge_answer(receipt, outcome.find_last_event(tail) or b"")
            case AnswerReceipt(answer=Answer() as answer):
                return messages.judge_answer(receipt, answer.body)
            case _:
                raise TypeError(receipt)

    async def _finish(self, run: Run, result: RunOutcome, duration: timedelta) -> None:
        """Store the end of a run, after an outage of the database too. It is stored once."""
        for _ in range(FINISH_ATTEMPTS):
            try:
                finished = await self._store_end(run, result, duration)
            except Unavailable:
                await asyncio.sleep(RETRY_INTERVAL.total_seconds())
            else:
                if finished is not None:
                    await self._record(finished)
                return
        log.error("end of a run lost: the database stayed unavailable", schedule=run.schedule_id)

    async def _store_end(self, run: Run, result: RunOutcome, duration: timedelta) -> Run | None:
        """Return the run that has ended; `None` if its end is stored already, or its schedule was deleted."""
        async with self._store.begin() as tx:
            schedules = ScheduleStore(tx.connection)
            schedule = await schedules.find(run.schedule_id, lock=True)
            if schedule is None:
                return None
            after, finished = rules.finish_run(schedule, run, result, duration)
            if not await schedules.finish_run(finished):
                return None
            await schedules.update(after)
            await StoredEvents(tx.connection).append([rules.build_event(finished, event_id=str(uuid4()))])
        log.info("schedule run", workspace=run.workspace_id, schedule=run.schedule_id, status=finished.status)
        return finished

    async def _end_orphans(self) -> None:
        """Record the runs whose process ended before they did."""
        now = self._clock.now()
        async with self._store.begin() as tx:
            orphans = await ScheduleStore(tx.connection).list_lasting_runs(now - ORPHAN_AGE, limit=DUE_PER_READ)
        for run in orphans:
            if run.schedule_id not in self._under_way:
                await self._finish(run, RunOutcome(is_ok=False, detail=rules.INTERRUPTED_TEXT), now - run.started_at)

    async def _record(self, run: Run) -> None:
        """Add a run that has ended to the activity log; the history of the schedule has it already."""
        try:
            await self._record_activity(rules.build_activity(run))
        except Unavailable:
            log.warning("run missing in the activity log", schedule=run.schedule_id)


async def _read_tail(stream: Stream) -> bytes:
    """Read a streamed answer to its end; return its last bytes. Raises `StreamInterrupted`."""
    tail = b""
    async with aclosing(stream.chunks) as chunks:
        async for chunk in chunks:
            tail = (tail + chunk)[-ANSWER_TAIL_BYTES:]
    return tail
