"""The tables agree with the migrations, the contract and the indexes that statements use."""

import ast
import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.exc import IntegrityError

from protos.registry.v1 import registry_pb2 as pb
from services.registry.store.tables import workspaces as tables
from services.registry.workspace.model import Status
from services.registry.workspace.validation import DEFAULT_MAX_CONCURRENT_TASKS
from tests.registry.conftest import ALWAYS_HEARING, TIMEOUTS

SOURCE = Path(__file__).parents[3] / "services" / "registry"


def migrated() -> set[str]:
    """The values of the enum as all migrations together make it."""
    values: set[str] = set()
    for path in sorted((SOURCE / "migrations").glob("*.py")):
        text = path.read_text()
        for block in re.findall(r"create type registry\.workspace_status as enum \((.*?)\)", text, re.DOTALL):
            values |= set(re.findall(r"'(\w+)'", block))
        values |= set(re.findall(r"alter type registry\.workspace_status add value (?:if not exists )?'(\w+)'", text))
    return values


def used() -> set[str]:
    """Every status that the code names: members of the enum, and texts that statements compare a status with."""
    names: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Status":
                names.add(Status[node.attr].value)
        names |= set(re.findall(r"status (?:=|<>) '(\w+)'", path.read_text()))
    return names


@pytest.mark.covers("ENG-02")
def test_code_and_database_have_the_same_statuses():
    assert migrated() == {status.value for status in Status}
    assert used() == migrated()


@pytest.mark.covers("ENG-02")
def test_the_contract_has_the_same_statuses():
    named = {name.removeprefix("WORKSPACE_STATUS_").lower() for name in pb.WorkspaceStatus.keys()}  # noqa: SIM118

    assert named - {"unspecified"} == {status.value for status in Status}


async def test_the_migrations_create_the_tables(engine):
    def differences(connection):
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "include_name": lambda name, kind, _: kind != "schema" or name == "registry",
                "include_object": lambda _, name, *__: name != "alembic_version",
                "compare_type": True,
            },
        )
        return compare_metadata(context, tables.META)

    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []


@pytest.mark.covers("REG-13", "REG-34")
async def test_the_database_refuses_values_outside_the_contract(registry, engine):
    made = await registry.create()
    for wrong in ("delivery_mode = 'pull'", "delivery_mode = null", "workspace_access = 'all'"):
        with pytest.raises(IntegrityError):
            async with engine.begin() as connection:
                await connection.execute(sa.text(f"update registry.workspaces set {wrong}"))  # noqa: S608 - ours
    for status in Status:
        async with engine.begin() as connection:
            await connection.execute(sa.update(tables.workspaces).values(status=status))
        assert (await registry.get(made.id)).status is status


@pytest.mark.covers("REG-04")
async def test_the_column_agrees_with_the_default_of_the_code(engine):
    question = sa.text(
        "select column_default from information_schema.columns"
        " where table_schema = 'registry' and column_name = 'max_concurrent_tasks'"
    )
    async with engine.connect() as connection:
        assert int(await connection.scalar(question)) == DEFAULT_MAX_CONCURRENT_TASKS


class RecordedStatements:
    """Records the statements that a store sends, and explains them."""

    def __init__(self, engine):
        self.engine = engine
        self.sent = []

    async def __aenter__(self):
        sa.event.listen(self.engine.sync_engine, "before_cursor_execute", self._record)
        return self

    async def __aexit__(self, *_):
        sa.event.remove(self.engine.sync_engine, "before_cursor_execute", self._record)

    def _record(self, _connection, _cursor, statement, parameters, _context, _many):
        self.sent.append((statement, parameters))

    async def plans(self):
        async with self.engine.connect() as connection:
            for statement, parameters in self.sent:
                planned = await connection.exec_driver_sql(f"explain {statement}", parameters)
                yield "\n".join(planned.scalars())


async def insert_copies(registry, engine):
    """Insert five thousand copies of an online workspace and as many events, and update the statistics."""
    await registry.online()
    columns = [column.name for column in tables.workspaces.c]
    other = {
        "id": "'w' || n",
        "revision": "1000000 + n",
        "org_id": "'o' || n / 10",
        "parent_id": "'o' || n / 10",
        "placement_confirmed": "true",
        "created_at": "created_at + n * interval '1 second'",
    }
    copied = ", ".join(other.get(name, name) for name in columns)
    vitals = "last_seen, error_rate, sample_error, current_task, active_tasks, uptime_seconds, monthly_spend"
    copies = {
        f"workspaces ({', '.join(columns)})": copied,
        "vitals": f"'w' || n, {vitals}, look_at + n * interval '1 second'",
        "events": "1000000 + n, id, type, 'w' || n, 'o' || n / 10, payload, created_at + n * interval '1 minute'",
    }
    async with engine.begin() as connection:
        for named, row in copies.items():
            table = named.partition(" ")[0]
            source = f"(select * from registry.{table} limit 1) one, generate_series(1, 5000) n"  # noqa: S608 - ours
            await connection.execute(sa.text(f"insert into registry.{named} select {row} from {source}"))  # noqa: S608
            await connection.execute(sa.text(f"analyze registry.{table}"))


@pytest.mark.covers("PROV-47")
async def test_due_rows_are_found_by_an_index(registry, engine):
    await insert_copies(registry, engine)
    for question, index in (
        (lambda tx: tx.overdue.list_unstarted(hearing=ALWAYS_HEARING, limit=5), "workspaces_starting"),
        (lambda tx: tx.overdue.list_silent(TIMEOUTS, hearing=ALWAYS_HEARING, limit=5), "vitals_look_at"),
        (lambda tx: tx.overdue.list_unplaced(limit=5), "workspaces_unplaced"),
        (lambda tx: tx.overdue.list_unfinished_removals(TIMEOUTS.managed, limit=5), "workspaces_unfinished"),
        (lambda tx: tx.events.delete_old(TIMEOUTS.managed, limit=5), "events_created"),
        (lambda tx: tx.events.find_known_ids(["an-id", "another-id"]), "events_id"),
        (lambda tx: tx.revisions.list_changed(1_004_995, limit=500), "workspaces_revision"),
        (lambda tx: tx.lists.list_page(after=None, limit=5, org_id=None), "workspaces_created"),
        (lambda tx: tx.lists.list_page(after=None, limit=100, org_id="o7"), "workspaces_org"),
        (lambda tx: tx.lists.list_events_after(0, limit=5, workspace_id="w7", org_id=None), "events_workspace"),
    ):
        async with RecordedStatements(engine) as statements:
            async with registry.store.begin() as tx:
                await question(tx)
            sent = list(statements.sent)
        statements.sent = sent
        plans = "\n".join([plan async for plan in statements.plans()])

        assert index in plans
        assert "Seq Scan" not in plans
