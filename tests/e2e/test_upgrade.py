"""A database of the first release is upgraded without loss, and a newer database is never downgraded."""

import asyncio
import shutil
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy.engine import make_url

from deploy import migrations, roles
from deploy.errors import StartError
from deploy.plane import fresh_database
from services.chassis import database
from services.chassis.database import NewerSchema
from services.registry.store.transaction import Store
from services.registry.workspace.model import Reason, Status, Vitals

pytestmark = pytest.mark.timeout(120)

CARD = rb"""{"name": "\ud800", "skills": [
    {"id": "a\u0000b", "name": "Soup ", "tags": ["hot", 7, "\ud800"]}, {"id": "Cook", "tags": "none"}, 1, {"tags": null}
]}"""
"""A hostile card that the first release accepted."""

WORKSPACE = """
    insert into registry.workspaces (id, name, tier, runtime, org_id, workspace_access, x, y, collapsed, created_at,
        status, status_reason, status_detail, status_since, status_event_id, generation, restart_request, backend,
        backend_address, instance_reference, url, has_card, capabilities, placement_confirmed, purge_wanted, stop_error,
        revision)
    values ($1::text, $1, 2, 'echo', $1, 'none', 1, 2, false, now(), $1::text::registry.workspace_status,
        'registered', 'said', now(), $2, 3, '', 'process', '', 'ref', '', true, '{scheduler}', true, false, '', $2)"""

ACTIVITY = """
    insert into a2a_proxy.activities (workspace_id, id, activity_type, status, created_at)
    values (gen_random_uuid(), gen_random_uuid(), 'a2a_receive', 'ok', now())"""

ROWS = {
    "registry": [
        *[(WORKSPACE, (status, number)) for number, status in enumerate(Status, start=1)],
        ("insert into registry.vitals select id, now(), 0.2, 'boom', 'soup', 1, 60, 5 from registry.workspaces", ()),
        ("insert into registry.cards select id, $1 from registry.workspaces", (CARD,)),
        ("insert into registry.events select revision, id, 'T', id, id, '{}', now() from registry.workspaces", ()),
        ("insert into registry.watchers values ('replica', 'process', now())", ()),
    ],
    "auth": [
        ("insert into auth.placements values ('w', 'o', 3, now(), now(), null, 'sealed')", ()),
        ("insert into auth.tokens values ('t', 'w', $1, 'abc', 3, now(), now(), null)", (b"digest",)),
        ("insert into auth.revocations (workspace_id, revoked_at) values ('w', now())", ()),
    ],
    "a2a_proxy": [
        (ACTIVITY, ()),
    ],
}


@dataclass
class OldDatabase:
    """A database with the migrations of the first release."""

    url: str
    folders: dict[str, Path]

    async def migrate(self) -> None:
        for schema, folder in self.folders.items():
            await asyncio.to_thread(database.migrate, self.url, role=f"molecule_{schema}", schema=schema, folder=folder)

    async def rows(self) -> dict[str, list[dict[str, Any]]]:
        """Every row of every table of every service, and the revisions."""
        connection = await asyncpg.connect(self.url)
        try:
            tables = await connection.fetch(
                "select schemaname || '.' || tablename from pg_tables where schemaname = any($1) order by 1",
                list(self.folders),
            )
            return {
                table: [dict(row) for row in await connection.fetch(f"select * from {table} order by 1")]  # noqa: S608
                for (table,) in tables
            }
        finally:
            await connection.close()


@pytest.fixture
async def old(database_url, tmp_path):
    """A database with the schema and data of the first release."""
    first = {folder.parent.name: tmp_path / folder.parent.name for folder in migrations.find_migration_folders()}
    for folder in migrations.find_migration_folders():
        first[folder.parent.name].mkdir()
        [numbered] = folder.glob("0001_*.py")
        shutil.copy(numbered, first[folder.parent.name])
    async with fresh_database(database_url) as url:
        await roles.apply_roles(url)
        made = OldDatabase(url, first)
        await made.migrate()
        connection = await asyncpg.connect(url)
        for schema in first:
            for statement, values in ROWS[schema]:
                await connection.execute(statement, *values)
        await connection.close()
        yield made


@pytest.mark.covers("REG-35")
async def test_an_upgrade_from_the_first_release_keeps_every_row_and_its_status(old, clock):
    before = await old.rows()

    await migrations.migrate_all(old.url)

    after = await old.rows()
    for table, rows in before.items():
        if not table.endswith(".alembic_version"):
            kept = [{name: row[name] for name in rows[0]} for row in after[table]] if rows else []
            assert kept == rows, table
    async with database.open_engine(old.url, role="molecule_registry") as engine, Store(engine, clock).begin() as tx:
        found = [await tx.get(status.value) for status in Status]
    assert [workspace.status for workspace in found] == list(Status)
    for workspace in found:
        assert (workspace.status_reason, workspace.generation, workspace.backend) == (Reason.REGISTERED, 3, "process")
        assert workspace.vitals.sample_error == "boom" != Vitals().sample_error
        assert workspace.vitals.last_seen > workspace.created_at - timedelta(minutes=1)


@pytest.mark.covers("REG-35")
async def test_cards_from_the_first_release_can_be_searched(old):
    await migrations.migrate_all(old.url)

    terms = (await old.rows())["registry.terms"]

    for status in Status:
        found = {(term["kind"], term["text"]) for term in terms if term["workspace_id"] == status}
        assert found == {("skill", "soup"), ("skill", "cook"), ("tag", "hot")}


@pytest.mark.covers("REG-35")
async def test_an_older_release_refuses_a_newer_database_and_changes_nothing(old):
    await migrations.migrate_all(old.url)
    before = await old.rows()

    with pytest.raises(NewerSchema, match="restore a backup of the database from before the upgrade instead"):
        await old.migrate()

    assert await old.rows() == before


@pytest.mark.covers("REG-35")
async def test_a_plane_does_not_start_on_the_tables_of_a_newer_release(old):
    await migrations.migrate_all(old.url)
    connection = await asyncpg.connect(old.url)
    await connection.execute("update registry.alembic_version set version_num = '9999'")
    await connection.close()
    before = await old.rows()

    with pytest.raises(StartError, match=r"registry were made by a newer release \(revision 9999\)"):
        await migrations.migrate_all(old.url)

    assert await old.rows() == before


@pytest.mark.covers("REG-35")
@pytest.mark.parametrize("aim", ["0001", "base", "-1"])
async def test_a_manual_downgrade_is_refused(old, aim):
    await migrations.migrate_all(old.url)
    before = await old.rows()
    [folder] = [folder for folder in migrations.find_migration_folders() if folder.parent.name == "registry"]
    config = Config()
    config.set_main_option("script_location", str(database.MIGRATIONS))
    config.set_main_option("version_locations", str(folder))
    config.set_main_option("path_separator", "os")
    url = make_url(old.url).set(drivername="postgresql+asyncpg")
    config.attributes.update(url=url, schema="registry", role="molecule_registry")

    with pytest.raises(NewerSchema, match="restore a backup"):
        await asyncio.to_thread(command.downgrade, config, aim)

    assert await old.rows() == before
