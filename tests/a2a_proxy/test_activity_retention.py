"""The activity log stays within its limits, and purged workspaces leave nothing in it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa

from protos.registry.v1 import registry_pb2
from services.a2a_proxy import activity_retention as module
from services.a2a_proxy.activity import ActivityLog
from services.a2a_proxy.activity_retention import ActivityRetention
from services.a2a_proxy.app import service
from services.a2a_proxy.broadcasts import BroadcastFanOut
from services.a2a_proxy.clients import RegistryClient
from services.a2a_proxy.model import Activity, ActivityQuery, WorkspaceId
from services.a2a_proxy.store import ROW_BYTES, Store
from services.a2a_proxy.tables import ACTIVITY_USAGE
from tests import databases
from tests.a2a_proxy.fake_services import FakeRegistry
from tests.rpc import open_channel_to
from tests.waiting import eventually

A, B, C = (WorkspaceId(str(uuid4())) for _ in range(3))
KILOBYTE = 1024


class RetainedLog:
    """An activity log with its retention, over an empty database."""

    def __init__(self, store: Store, registry: FakeRegistry, client: RegistryClient, clock, **limits) -> None:
        values = {"age": timedelta(days=7), "max_bytes": 10**9, "max_bytes_per_workspace": 10**9} | limits
        self.registry = registry
        self.store = store
        self.clock = clock
        self.purged: list[WorkspaceId] = []
        self.purges = self.leave
        self.retention = ActivityRetention(store, client, clock, purge_others=[self._purge], **values)
        self.log = ActivityLog(store, BroadcastFanOut(), clock, delay=timedelta(), on_usage=self.retention.note_usage)

    async def leave(self, workspace_id: WorkspaceId) -> None:
        """Do nothing about a workspace."""

    async def _purge(self, workspace_id: WorkspaceId) -> None:
        await self.purges(workspace_id)
        self.purged.append(workspace_id)

    async def add(self, workspace_id: WorkspaceId, *methods: str, size: int = KILOBYTE, **fields) -> None:
        for method in methods:
            values = {"activity_type": "a2a_receive", "duration_ms": 1, "request_body": "x" * size} | fields
            values = {"created_at": self.clock.now()} | values
            await self.log.commit(Activity(id=str(uuid4()), workspace_id=workspace_id, method=method, **values))

    async def methods(self, workspace_id: WorkspaceId) -> list[str | None]:
        found = await self.log.list_activities(ActivityQuery(workspace_id=workspace_id))
        return [activity.method for activity in reversed(found)]

    async def usage(self) -> dict[WorkspaceId, int]:
        async with self.store.begin() as tx:
            return await tx.list_largest(limit=100)

    async def fits(self, check: Callable[[dict[WorkspaceId, int]], bool]) -> bool:
        return check(await self.usage())

    async def has(self, workspace_id: WorkspaceId, *methods: str) -> bool:
        return await self.methods(workspace_id) == list(methods)

    async def is_empty(self, workspace_id: WorkspaceId) -> bool:
        return not await self.methods(workspace_id)

    async def measured(self) -> dict[WorkspaceId, int]:
        """Return the usage as it is counted from the rows."""
        async with self.store.begin() as tx:
            for workspace_id in await tx.list_workspaces():
                await tx.recount_usage(workspace_id)
            return await tx.list_largest(limit=10)


@pytest.fixture
async def build(database_url, clock) -> AsyncIterator:
    """A function that builds a log with limits. Its retention runs until the test ends."""
    registry = FakeRegistry()
    for workspace_id in (A, B, C):
        registry.set_workspace(workspace_id)
    async with (
        databases.open_empty_database(database_url, service) as engine,
        open_channel_to([registry.servicer()], caller_service="a2a_proxy") as channel,
        asyncio.TaskGroup() as group,
    ):
        tasks = []

        def build_log(**limits) -> RetainedLog:
            log = RetainedLog(Store(engine), registry, RegistryClient(channel), clock, **limits)
            tasks.append(group.create_task(log.retention.follow()))
            return log

        yield build_log
        for task in tasks:
            task.cancel()


@pytest.mark.covers("LIM-05")
async def test_the_usage_of_a_workspace_is_the_size_of_its_rows(build):
    log = build()
    await log.add(A, "one", "two", size=100, response_body="é", tool_trace="[]")
    await log.add(B, "three", size=0)

    assert await log.usage() == {A: 2 * (ROW_BYTES + 100 + 2 + 2), B: ROW_BYTES}
    assert await log.usage() == await log.measured()


@pytest.mark.covers("LIM-05")
async def test_a_log_that_is_too_large_loses_its_oldest_rows_and_other_logs_none(build):
    log = build(max_bytes_per_workspace=5 * KILOBYTE)
    await log.add(B, "other")

    await log.add(A, "1", "2", "3", "4", "5", "6")

    await eventually(lambda: log.fits(lambda usage: usage[A] <= 5 * KILOBYTE))
    assert (await log.methods(A))[-1] == "6"
    assert await log.methods(A) == ["1", "2", "3", "4", "5", "6"][-len(await log.methods(A)) :]
    assert await log.methods(B) == ["other"]
    assert await log.usage() == await log.measured()


@pytest.mark.covers("LIM-05")
async def test_what_an_agent_reports_does_not_wait_for_it_and_is_deleted(build):
    log = build(max_bytes_per_workspace=3 * KILOBYTE)
    await log.add(A, "reported", duration_ms=None)
    await log.add(A, "notify", duration_ms=None)

    await log.add(A, "1", "2", "3")

    await eventually(lambda: log.fits(lambda usage: usage[A] <= 3 * KILOBYTE))
    assert not {"reported", "notify"} & set(await log.methods(A))


@pytest.mark.covers("LIM-05")
async def test_summary_and_error_of_a_row_count_for_the_limit(build):
    log = build()
    await log.add(A, "one", size=0, summary="é" * 100, error_detail="x" * 1000)

    assert await log.usage() == {A: ROW_BYTES + 200 + 1000} == await log.measured()


@pytest.mark.covers("LIM-05")
async def test_the_largest_logs_are_halved_while_the_plane_stores_too_much(build, monkeypatch):
    monkeypatch.setattr(module, "TOTAL_CHECK_BYTES", KILOBYTE)
    log = build(max_bytes=12 * KILOBYTE)
    await log.add(B, "small")

    await log.add(A, *(str(number) for number in range(20)))

    await eventually(lambda: log.fits(lambda usage: sum(usage.values()) <= 12 * KILOBYTE))
    assert await log.methods(B) == ["small"]
    assert (await log.methods(A))[-1] == "19"


@pytest.mark.covers("LIM-05")
async def test_many_small_logs_do_not_exceed_the_limit_of_the_plane(build, monkeypatch):
    monkeypatch.setattr(module, "TOTAL_CHECK_BYTES", 3 * KILOBYTE)
    log = build(max_bytes=12 * KILOBYTE)

    for _ in range(20):
        await log.add(WorkspaceId(str(uuid4())), "small")

    await eventually(lambda: log.fits(lambda usage: sum(usage.values()) <= 15 * KILOBYTE))


@pytest.mark.covers("LIM-05")
async def test_rows_older_than_the_retention_are_deleted(build, clock):
    log = build()
    await log.add(A, "old", created_at=clock.now() - timedelta(days=8))
    await log.add(A, "new", created_at=clock.now() - timedelta(days=6))

    await log.retention.clean(lambda _: True)

    assert await log.methods(A) == ["new"]
    assert await log.usage() == await log.measured()


@pytest.mark.covers("LIM-06")
async def test_a_purge_deletes_the_messages_of_a_workspace_and_those_that_it_sent(build):
    log = build()
    await log.add(A, "received")
    await log.add(B, "sent", source_id=A)
    await log.add(B, "other", source_id=C)

    log.registry.records.pop(A)
    log.retention.note_removal(A)

    await eventually(lambda: log.is_empty(A))
    assert await log.methods(B) == ["other"]
    assert set(await log.usage()) == {B}


@pytest.mark.covers("LIM-06")
async def test_a_purge_deletes_also_what_is_written_while_other_parts_are_purged(build):
    """As the drain does, which drops the messages of a removed workspace."""
    log = build()
    await log.add(A, "received")
    log.purges = lambda workspace_id: log.add(workspace_id, "dropped")

    log.registry.records.pop(A)
    log.retention.note_removal(A)

    await eventually(lambda: log.purged)
    await eventually(lambda: log.is_empty(A))


@pytest.mark.covers("LIM-06")
async def test_a_purge_deletes_rows_of_which_no_usage_was_counted(build, monkeypatch):
    monkeypatch.setattr(module, "MAX_ROWS_PER_DELETE", 2)
    log = build()
    await log.add(A, "1", "2", "3", "4", "5")
    async with log.store.begin() as tx:  # as if a proxy of an earlier release had written them
        await tx._connection.execute(sa.delete(ACTIVITY_USAGE))

    log.registry.records.pop(A)
    log.retention.note_removal(A)

    await eventually(lambda: log.is_empty(A))


@pytest.mark.covers("LIM-06")
async def test_a_removed_workspace_that_was_not_purged_keeps_its_messages(build):
    log = build()
    await log.add(A, "received")
    log.registry.set_workspace(A, status=registry_pb2.WORKSPACE_STATUS_REMOVED)

    log.retention.note_removal(A)

    await eventually(lambda: (A, "") in log.registry.resolved)
    assert await log.methods(A) == ["received"]


@pytest.mark.covers("LIM-06")
async def test_a_purge_that_follows_while_the_registry_is_asked_about_the_removal_is_carried_out(build):
    log = build()
    await log.add(A, "received")
    log.registry.set_workspace(A, status=registry_pb2.WORKSPACE_STATUS_REMOVED)
    log.registry.may_answer.clear()
    log.retention.note_removal(A)
    await eventually(lambda: (A, "") in log.registry.resolved)

    log.registry.records.pop(A)
    log.retention.note_removal(A)
    log.registry.may_answer.set()

    await eventually(lambda: log.is_empty(A))


@pytest.mark.covers("LIM-06")
async def test_a_purge_while_the_proxy_was_down_or_the_registry_away_is_carried_out_later(build, monkeypatch):
    monkeypatch.setattr(module, "RETRY_INTERVAL", timedelta(milliseconds=10))
    log = build()
    await log.add(A, "received")
    await log.add(B, "kept")
    log.registry.records.pop(A)
    log.registry.is_unavailable = True

    await log.retention.clean(lambda workspace_id: workspace_id == B)
    assert await log.methods(A) == ["received"]
    log.registry.is_unavailable = False

    await eventually(lambda: log.is_empty(A))
    assert await log.methods(B) == ["kept"]


@pytest.mark.covers("LIM-06")
async def test_a_purge_of_a_workspace_that_only_sent_is_carried_out_later(build):
    log = build()
    await log.add(B, "sent", source_id=A)
    await log.add(B, "kept", source_id=C)
    log.registry.records.pop(A)

    await log.retention.clean(lambda workspace_id: workspace_id in {B, C})

    await eventually(lambda: log.has(B, "kept"))
