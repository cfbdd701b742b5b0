"""The roles and schemas in PostgreSQL."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from deploy import migrations, postgres, roles
from deploy.errors import StartError
from deploy.layout import Layout
from tests.deploy.postgres_server import run_postgres


@pytest.fixture
async def server(home) -> AsyncIterator[postgres.Postgres]:
    layout = Layout.for_home(home)
    layout.prepare()
    async with run_postgres(layout) as (server, _):
        yield server


async def connect_as_role(url: str, role: str) -> asyncpg.Connection:
    return await asyncpg.connect(url, server_settings={"role": role})


def build_url_of_user(server: postgres.Postgres, user: str) -> str:
    return server.url.replace(f"//{postgres.SUPERUSER}@", f"//{user}@")


async def test_each_role_can_access_its_own_schema_only(server):
    await roles.apply_roles(server.url)
    await roles.apply_roles(server.url)

    registry = await connect_as_role(server.url, "molecule_registry")
    auth = await connect_as_role(server.url, "molecule_auth")
    provisioner = await connect_as_role(server.url, "molecule_provisioner")
    try:
        await auth.execute("CREATE TABLE IF NOT EXISTS auth.tokens (id int)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied for schema auth"):
            await registry.execute("SELECT * FROM auth.tokens")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await provisioner.execute("CREATE TABLE public.anything (id int)")
        assert await provisioner.fetchval("SELECT pg_try_advisory_lock(1)")
    finally:
        for connection in (registry, auth, provisioner):
            await connection.close()


async def test_user_with_createrole_need_not_be_a_superuser(server):
    admin = await asyncpg.connect(server.url)
    for statement in (
        "CREATE ROLE planner LOGIN CREATEROLE",
        "GRANT CREATE ON DATABASE molecule TO planner",
    ):
        await admin.execute(statement)
    await admin.close()

    await roles.apply_roles(build_url_of_user(server, "planner"))
    await roles.apply_roles(build_url_of_user(server, "planner"))

    connection = await connect_as_role(build_url_of_user(server, "planner"), "molecule_a2a_proxy")
    await connection.execute("CREATE TABLE a2a_proxy.activity (id int)")
    await connection.close()


@pytest.mark.covers("TOK-21")
async def test_a_user_without_superuser_rights_migrates_and_the_audit_log_does_not_belong_to_auth(server):
    admin = await asyncpg.connect(server.url)
    for statement in ("CREATE ROLE planner LOGIN CREATEROLE", "GRANT CREATE ON DATABASE molecule TO planner"):
        await admin.execute(statement)
    url = build_url_of_user(server, "planner")
    for _ in range(2):
        await roles.apply_roles(url)
        await migrations.migrate_all(url)

    owners = "SELECT tableowner FROM pg_tables WHERE schemaname = 'auth' AND tablename = ANY($1)"
    audit_tables = ["deeds", "audit_keys", "audit_checkpoints"]
    assert [row[0] for row in await admin.fetch(owners, audit_tables)] == ["molecule_audit"] * 3
    assert await admin.fetchval("SELECT tableowner FROM pg_tables WHERE tablename = 'org_tokens'") == "molecule_auth"
    await admin.close()
    auth = await connect_as_role(url, "molecule_auth")
    for statement in ("DELETE FROM auth.deeds", "DROP SCHEMA auth CASCADE", "DROP TABLE auth.deeds"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await auth.execute(statement)
    await auth.close()


@pytest.mark.covers("TOK-21")
async def test_the_schema_of_an_earlier_release_changes_its_owner(server):
    admin = await asyncpg.connect(server.url)
    await admin.execute("CREATE ROLE molecule_auth NOLOGIN; CREATE SCHEMA auth AUTHORIZATION molecule_auth")
    await roles.apply_roles(server.url)

    owner = "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'auth'"
    assert await admin.fetchval(owner) == "molecule_audit"
    await admin.close()


async def test_user_without_createrole_is_refused_with_instructions(server):
    admin = await asyncpg.connect(server.url)
    await admin.execute("CREATE ROLE visitor LOGIN")
    await admin.close()

    with pytest.raises(StartError, match=r"the user visitor of DATABASE_URL may not .*roles\.sql once as an admin"):
        await roles.apply_roles(build_url_of_user(server, "visitor"))


async def test_unreachable_postgresql_is_one_line_without_the_password():
    with pytest.raises(StartError) as refusal:
        await roles.apply_roles("postgresql://someone:hunter2@127.0.0.1:1/molecule")

    assert str(refusal.value).startswith("PostgreSQL at DATABASE_URL cannot be used: ")
    assert "hunter2" not in str(refusal.value)
    assert "\n" not in str(refusal.value)
