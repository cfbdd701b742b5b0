"""The migrations of all schemas."""

import asyncpg
import pytest

from deploy import migrations, roles
from deploy.plane import SERVICES_IN_START_ORDER, fresh_database


@pytest.fixture
async def url(database_url):
    async with fresh_database(database_url) as url:
        await roles.apply_roles(url)
        yield url


def test_migration_folders_are_those_of_the_services():
    expected = {
        service.migrations: (service.name, service.build_role())
        for service in SERVICES_IN_START_ORDER
        if service.migrations
    }

    assert set(migrations.find_migration_folders()) == expected.keys()
    for folder, (name, role) in expected.items():
        assert (name, role) == (folder.parent.name, f"molecule_{folder.parent.name}")


async def test_each_schema_reaches_its_newest_revision(url):
    await migrations.migrate_all(url)

    connection = await asyncpg.connect(url)
    found = [
        await migrations._read_revision(connection, folder.parent.name)
        for folder in migrations.find_migration_folders()
    ]
    await connection.close()
    assert found == [migrations.find_newest_revision(folder) for folder in migrations.find_migration_folders()]
    assert None not in found


async def test_second_run_finds_no_outdated_schema(url):
    await migrations.migrate_all(url)

    assert await migrations._find_outdated(url) == []
