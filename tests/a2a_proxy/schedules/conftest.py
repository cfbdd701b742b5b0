"""A scheduler on a real PostgreSQL, with a still clock and a sender that a test scripts."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa

from services.a2a_proxy.app import service
from services.a2a_proxy.model import Activity, Answer, AnswerReceipt, IncomingMessage, Receipt, WorkspaceId
from services.a2a_proxy.schedules import rules
from services.a2a_proxy.schedules.rules import Run, Schedule, ScheduleDraft, ScheduleSource
from services.a2a_proxy.schedules.scheduler import Scheduler
from services.a2a_proxy.schedules.store import ScheduleStore
from services.a2a_proxy.schedules.tables import SCHEDULES
from services.a2a_proxy.store import Store
from services.a2a_proxy.stored_events.store import StoredEvents
from services.chassis.clock import Clock
from tests import databases
from tests.clocks import StillClock
from tests.waiting import eventually

START = datetime(2026, 5, 1, 8, 30, 1, tzinfo=UTC)

ANSWER = b'{"jsonrpc":"2.0","id":"1","result":{"kind":"message","parts":[{"kind":"text","text":"done"}]}}'


async def send_answer(_: IncomingMessage) -> Receipt:
    return AnswerReceipt(answer=Answer(status=200, body=ANSWER), agent_time=timedelta())


@dataclass
class ScheduleBench:
    """A store, a clock, what was sent and recorded, and a scheduler whose collaborators a test replaces."""

    store: Store
    clock: StillClock
    answer: Callable[[IncomingMessage], Awaitable[Receipt]] = send_answer
    sent: list[IncomingMessage] = field(default_factory=list)
    rows: list[Activity] = field(default_factory=list)
    native: set[str] = field(default_factory=set)
    full: set[str] = field(default_factory=set)
    limit: int = 1

    async def send(self, incoming: IncomingMessage) -> Receipt:
        self.sent.append(incoming)
        return await self.answer(incoming)

    @property
    def sent_ids(self) -> list[str]:
        """The message ids, in the order of sending."""
        return [json.loads(one.body)["params"]["message"]["messageId"] for one in self.sent]

    async def record(self, row: Activity) -> None:
        self.rows.append(row)

    def has_room(self, workspace_id: WorkspaceId, under_way: int) -> bool:
        return workspace_id not in self.full and under_way < self.limit

    async def is_native(self, workspace_id: WorkspaceId) -> bool:
        return workspace_id in self.native

    def build(self, clock: Clock | None = None, **collaborators) -> Scheduler:
        values = {"is_native": self.is_native, "has_room": self.has_room} | collaborators
        return Scheduler(self.store, clock or self.clock, send=self.send, record_activity=self.record, **values)

    @asynccontextmanager
    async def running(self, **collaborators) -> AsyncIterator[Scheduler]:
        """Own the runs of a scheduler for the length of the block; the test ticks."""
        scheduler = self.build(**collaborators)
        owner = asyncio.ensure_future(scheduler.own_runs())
        await asyncio.sleep(0)
        try:
            yield scheduler
        finally:
            owner.cancel()
            await asyncio.gather(owner, return_exceptions=True)

    async def add(self, workspace_id: str | None = None, **fields) -> Schedule:
        """Store a schedule that is due at once, every half hour."""
        values = {"name": str(uuid4()), "cron_expr": "*/30 * * * *", "prompt": "go"}
        changes = {name: fields.pop(name) for name in ("next_run_at", "empty_answers") if name in fields}
        schedule = rules.build_schedule(
            ScheduleDraft(**values | fields),
            schedule_id=str(uuid4()),
            workspace_id=WorkspaceId(workspace_id or str(uuid4())),
            now=self.clock.now(),
            source=ScheduleSource.RUNTIME,
        )
        changes = {"next_run_at": self.clock.now().replace(second=0)} | changes
        schedule = replace(schedule, **changes)
        async with self.store.begin() as tx:
            await ScheduleStore(tx.connection).insert(schedule)
        return schedule

    async def find(self, schedule: Schedule) -> Schedule | None:
        async with self.store.begin() as tx:
            return await ScheduleStore(tx.connection).find(schedule.id)

    async def list_runs(self, schedule: Schedule) -> list[Run]:
        async with self.store.begin() as tx:
            return await ScheduleStore(tx.connection).list_runs(schedule.id, limit=100)

    async def list_events(self) -> list[tuple[str, dict]]:
        """Type and payload of the events in the outbox, the oldest first."""
        async with self.store.begin() as tx:
            return [(event.type, dict(event.payload)) for event in await StoredEvents(tx.connection).list_oldest(1000)]

    async def wait_for_end(self, schedule: Schedule, *, runs: int = 1) -> Schedule:
        """Return the schedule once so many of its runs have ended."""

        async def have_ended() -> bool:
            return sum(run.status is not None for run in await self.list_runs(schedule)) >= runs

        await eventually(have_ended)
        found = await self.find(schedule)
        assert found is not None
        return found

    async def copy(self, schedule: Schedule, count: int) -> None:
        """Store copies of a schedule under other names, due a second earlier each."""
        numbers = sa.func.generate_series(1, count).table_valued("n").render_derived()
        changed = {
            "id": sa.func.gen_random_uuid(),
            "name": sa.cast(numbers.c.n, sa.Text),
            "next_run_at": SCHEDULES.c.next_run_at - timedelta(seconds=1) * (numbers.c.n % 60),
        }
        columns = [changed.get(column.name, column) for column in SCHEDULES.c]
        copies = (
            sa.select(*columns).select_from(SCHEDULES.join(numbers, sa.true())).where(SCHEDULES.c.id == schedule.id)
        )
        async with self.store.begin() as tx:
            await tx.connection.execute(sa.insert(SCHEDULES).from_select(SCHEDULES.c.keys(), copies))


@pytest.fixture
async def bench(database_url) -> AsyncIterator[ScheduleBench]:
    async with databases.open_empty_database(database_url, service) as engine:
        yield ScheduleBench(Store(engine), StillClock(START))
