"""Tests that the audit log keeps within its limits, on a real PostgreSQL."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from services.auth import audit_retention as module
from services.auth.app import service
from services.auth.audit_log import AuditLog
from services.auth.audit_retention import AuditRetention
from services.auth.model.audit_log import Verdict
from services.auth.rules.hash_chain import ChainKey
from services.auth.settings import Settings
from services.auth.store.tables.audit_log import AUDIT_CHECKPOINTS
from services.chassis.service import run_service
from services.chassis.settings import Mode
from tests.auth.conftest import SEALING_KEY
from tests.auth.test_audit_log import ADMIN, new_record, report_of
from tests.waiting import eventually


@pytest.fixture
def keyed(store, clock):
    return AuditLog(store, clock=clock, key=ChainKey(b"one"))


@pytest.fixture
def retention(store, keyed, clock):
    def build(*, age=None, max_records=1_000):
        return AuditRetention(store, keyed, clock, age=age, max_records=max_records)

    return build


async def positions(audit_log):
    return [link.position for link in await audit_log.list(ADMIN, workspace_id="", after=0, limit=500)]


@pytest.mark.covers("LIM-08")
async def test_a_log_within_its_limits_is_kept(retention, keyed, clock):
    await retention().remove_surplus()
    await keyed.append_once([new_record(clock) for _ in range(3)])
    clock.advance(days=10_000)
    await retention(max_records=3).remove_surplus()

    assert await positions(keyed) == [1, 2, 3]


@pytest.mark.covers("LIM-08")
async def test_the_oldest_records_beyond_the_number_are_removed_in_batches(
    retention, keyed, clock, monkeypatch, fetch_rows
):
    monkeypatch.setattr(module, "MAX_RECORDS_PER_REMOVAL", 2)
    await keyed.append_once([new_record(clock) for _ in range(8)])
    await retention(max_records=3).remove_surplus()

    assert await positions(keyed) == [6, 7, 8]
    assert await report_of(keyed) == (Verdict.INTACT, 8, None)
    checkpoints = await fetch_rows(sa.select(AUDIT_CHECKPOINTS.c.place).order_by(AUDIT_CHECKPOINTS.c.place))
    assert [row.place for row in checkpoints] == [2, 4, 5]


@pytest.mark.covers("LIM-08")
async def test_records_that_are_too_old_are_removed_and_the_newest_stays(retention, keyed, clock, monkeypatch):
    monkeypatch.setattr(module, "MAX_RECORDS_PER_REMOVAL", 2)
    await keyed.append_once([new_record(clock) for _ in range(5)])
    clock.advance(days=1)
    young = new_record(clock)
    clock.advance(days=-1)
    await keyed.append_once([young, new_record(clock)])
    clock.advance(days=30, microseconds=1)
    await retention(age=timedelta(days=30)).remove_surplus()
    assert await positions(keyed) == [6, 7]  # a record that arrived late is kept as long as the one before it

    clock.advance(days=1)
    await retention(age=timedelta(days=30)).remove_surplus()
    assert await positions(keyed) == [7]
    await keyed.append_once([new_record(clock)])
    assert await report_of(keyed) == (Verdict.INTACT, 8, None)


@pytest.mark.covers("LIM-08")
async def test_auth_removes_old_records_by_itself(database_url, tmp_path, engine, keyed, clock):
    await keyed.append_once([new_record(clock) for _ in range(3)])
    settings = Settings(
        mode=Mode.DEVELOPMENT,
        listen=f"unix:{tmp_path}/auth.sock",
        database_url=database_url,
        secrets_encryption_key=SEALING_KEY,
        audit_ledger_salt="one",
        audit_retention=timedelta(milliseconds=1),
    )
    async with run_service(service, settings):
        await eventually(lambda: is_alone(keyed, 3))
    assert await report_of(keyed) == (Verdict.INTACT, 3, None)


async def is_alone(audit_log, position):
    return await positions(audit_log) == [position]
