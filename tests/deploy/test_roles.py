"""The roles and schemas in PostgreSQL."""

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator

import asyncpg
import pytest

from deploy import migrations, postgres, roles
from deploy.errors import StartError
from deploy.layout import Layout
from tests.deploy.postgres_server import run_postgres

PASSWORD = "a-password"
PSQL = postgres._find_binaries() / "psql"


@pytest.fixture
async def server(home) -> AsyncIterator[postgres.Postgres]:
    layout = Layout.for_home(home)
    layout.prepare()
    async with run_postgres(layout) as (server, _):
        yield server


async def connect_as_role(url: str, role: str) -> asyncpg.Connection:
    return await asyncpg.connect(url, server_settings={"role": role})


def build_url_of_user(server: postgres.Postgres, user: str) -> str:
    return server.build_url(login=user, password=PASSWORD)


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


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
    await execute(
        server.url,
        f"CREATE ROLE planner LOGIN CREATEROLE PASSWORD '{PASSWORD}'",
        "GRANT CREATE ON DATABASE molecule TO planner",
    )

    await roles.apply_roles(build_url_of_user(server, "planner"))
    await roles.apply_roles(build_url_of_user(server, "planner"))

    connection = await connect_as_role(build_url_of_user(server, "planner"), "molecule_a2a_proxy")
    await connection.execute("CREATE TABLE a2a_proxy.activity (id int)")
    await connection.close()


@pytest.mark.covers("TOK-21")
async def test_a_user_without_superuser_rights_migrates_and_the_audit_log_does_not_belong_to_auth(server):
    admin = await asyncpg.connect(server.url)
    role = f"CREATE ROLE planner LOGIN CREATEROLE PASSWORD '{PASSWORD}'"
    for statement in (role, "GRANT CREATE ON DATABASE molecule TO planner"):
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


@pytest.mark.covers("ENV-12")
@pytest.mark.parametrize("prefix", ["molecule", "plane_two"])
async def test_instructions_for_a_user_without_rights_lead_to_a_start(server, prefix):
    await execute(server.url, f"CREATE ROLE visitor LOGIN PASSWORD '{PASSWORD}'")
    url = build_url_of_user(server, "visitor")
    with pytest.raises(StartError, match=r"the user visitor of DATABASE_URL may not .* then start again") as refusal:
        await roles.apply_roles(url, prefix=prefix)

    command = re.search(r'PGOPTIONS=".*\.sql', str(refusal.value))[0]
    as_administrator = command.replace("psql", f"{PSQL} -v ON_ERROR_STOP=1 '{server.url}'")
    subprocess.run(["sh", "-c", as_administrator], check=True)

    await roles.apply_roles(url, prefix=prefix)
    await migrations.migrate_all(url, prefix=prefix)
    connection = await connect_as_role(url, f"{prefix}_auth")
    assert await connection.fetchval("SELECT count(*) FROM auth.secrets") == 0
    await connection.close()


@pytest.mark.covers("ENV-13")
async def test_planes_in_two_databases_of_one_server_share_no_role(server):
    await execute(server.url, "CREATE DATABASE other")
    other = server.url.replace("/molecule?", "/other?")

    assert await roles.apply_roles(server.url) == ()
    assert await roles.apply_roles(other, prefix="plane_two") == ()
    for url, prefix in ((server.url, "molecule"), (other, "plane_two")):
        await migrations.migrate_all(url, prefix=prefix)

    intruder = await connect_as_role(other, "molecule_auth")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied for schema auth"):
        await intruder.execute("SELECT * FROM auth.secrets")
    await intruder.close()


@pytest.mark.covers("ENV-13")
async def test_advisory_locks_of_two_databases_are_separate(server):
    await execute(server.url, "CREATE DATABASE other")
    first = await asyncpg.connect(server.url)
    second = await asyncpg.connect(server.url, database="other")

    assert await first.fetchval("SELECT pg_try_advisory_lock(1)")
    assert await second.fetchval("SELECT pg_try_advisory_lock(1)")
    for connection in (first, second):
        await connection.close()


@pytest.mark.covers("ENV-13")
async def test_databases_that_share_roles_are_reported(server):
    await execute(server.url, "CREATE DATABASE other")

    assert await roles.apply_roles(server.url) == ()
    assert await roles.apply_roles(server.url.replace("/molecule?", "/other?")) == ("molecule",)


@pytest.mark.covers("ENV-13")
async def test_planes_that_make_the_same_roles_at_once_both_start(server):
    names = [f"plane{number}" for number in range(4)]
    await execute(server.url, *(f"CREATE DATABASE {name}" for name in names))
    for attempt in range(10):
        urls = [server.url.replace("/molecule?", f"/{name}?") for name in names]
        await asyncio.gather(*(roles.apply_roles(url, prefix=f"shared{attempt}") for url in urls))
        await asyncio.gather(*(execute(url, "DROP SCHEMA registry, a2a_proxy, auth") for url in urls))


@pytest.mark.covers("ENV-13")
async def test_another_prefix_for_a_migrated_database_is_refused_with_the_cause(server):
    await roles.apply_roles(server.url)

    with pytest.raises(StartError, match=r"belongs to the role molecule_registry, .* set DATABASE_ROLE_PREFIX to what"):
        await roles.apply_roles(server.url, prefix="plane_two")


async def test_unreachable_postgresql_is_one_line_without_the_password():
    with pytest.raises(StartError) as refusal:
        await roles.apply_roles("postgresql://someone:hunter2@127.0.0.1:1/molecule")

    assert str(refusal.value).startswith("PostgreSQL at DATABASE_URL cannot be used: ")
    assert "hunter2" not in str(refusal.value)
    assert "\n" not in str(refusal.value)
