"""Tests that the migrations and the tables of the proxy agree."""

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Table, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex

from services.a2a_proxy.app import service
from services.a2a_proxy.push.tables import PUSH_NOTIFICATIONS, PUSH_TARGETS
from services.a2a_proxy.queue.tables import QUEUE_CALLERS, QUEUE_TARGETS, QUEUED_MESSAGES
from services.a2a_proxy.schedules.tables import SCHEDULE_RUNS, SCHEDULES
from services.a2a_proxy.tables import ACTIVITIES, METADATA, SCHEMA
from services.a2a_proxy.tasks.tables import CONTEXTS, TASKS
from tests import databases

DUE_ORDER = (SCHEDULES.c.next_run_at, SCHEDULES.c.id)

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
async def engine(database_url):
    async with databases.open_empty_database(database_url, service) as engine:
        yield engine


@pytest.mark.covers("TXT-09")
async def test_migrations_and_tables_agree(engine):
    def differences(connection):
        options = {
            "include_schemas": True,
            "include_name": lambda name, kind, _: kind != "schema" or name == SCHEMA,
            "include_object": lambda thing, name, kind, *_: name != "alembic_version",
            "compare_type": True,
        }
        return compare_metadata(MigrationContext.configure(connection, opts=options), METADATA)

    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []


@pytest.mark.covers("TXT-09")
@pytest.mark.parametrize(
    ("table", "others"),
    [
        (ACTIVITIES, ["CREATE UNIQUE INDEX activities_id_key ON a2a_proxy.activities (id)"]),
        (QUEUED_MESSAGES, []),
        (QUEUE_TARGETS, []),
        (QUEUE_CALLERS, []),
        (TASKS, []),
        (CONTEXTS, []),
        (PUSH_TARGETS, []),
        (PUSH_NOTIFICATIONS, []),
    ],
    ids=lambda value: value.name if isinstance(value, Table) else "",
)
async def test_migrations_and_tables_have_the_same_keys_and_indexes(engine, table, others):
    declared = {normalise(str(CreateIndex(index).compile(dialect=postgresql.dialect()))) for index in table.indexes}

    async with engine.connect() as connection:
        rows = await connection.execute(
            text("select indexdef from pg_indexes where schemaname = :schema and tablename = :table"),
            {"schema": SCHEMA, "table": table.name},
        )
        found = {normalise(definition) for definition in rows.scalars()}

    key = ", ".join(column.name for column in table.primary_key)
    name = f"{table.name}_pkey ON a2a_proxy.{table.name}"
    assert found == {*declared, f"CREATE UNIQUE INDEX {name} ({key})", *others}


def normalise(definition: str) -> str:
    """Return the definition of an index without what PostgreSQL writes in its own way."""
    columns, _, condition = definition.replace(" USING btree", "").partition(" WHERE ")
    condition = condition.replace("::text", "").replace("(", "").replace(")", "")
    return f"{columns} WHERE {condition}" if condition else columns


async def test_schedules_that_are_due_are_found_by_an_index(engine):
    due = sa.select(SCHEDULES.c.id).where(SCHEDULES.c.next_run_at <= sa.func.now()).order_by(*DUE_ORDER).limit(200)
    lasting = sa.select(SCHEDULE_RUNS.c.id).where(SCHEDULE_RUNS.c.status.is_(None), SCHEDULE_RUNS.c.started_at < NOON)
    async with engine.begin() as connection:
        await connection.execute(text("set local enable_seqscan = off"))
        for statement, index in ((due, "schedules_due"), (lasting, "schedule_runs_lasting")):
            shown = statement.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
            rows = await connection.execute(text(f"explain {shown}".replace(":", "\\:")))

            assert index in "\n".join(rows.scalars())
