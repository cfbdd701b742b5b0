"""Creates the roles and schemas of the services in PostgreSQL, before the migrations run."""

import asyncio
from pathlib import Path

import asyncpg

from deploy.errors import StartError
from services.chassis.settings import ROLE_PREFIX

SCRIPT = Path(__file__).with_name("roles.sql")

CONNECT_TIMEOUT_SECONDS = 5
"""A PostgreSQL that runs answers at once; one behind a closed firewall never does."""

MAX_ATTEMPTS = 5
"""Roles belong to the whole server: a plane in another database of it may make the same ones at the same time."""

RETRY_SECONDS = 0.2

CONFLICTS = (asyncpg.UniqueViolationError, asyncpg.DuplicateObjectError, asyncpg.InternalServerError)
"""What PostgreSQL raises for two such attempts: the role exists, or its row was just changed."""

_OTHER_DATABASES = """
SELECT DISTINCT datname::text FROM pg_shdepend
JOIN pg_database ON pg_database.oid = pg_shdepend.dbid
JOIN pg_roles ON pg_roles.oid = pg_shdepend.refobjid
WHERE refclassid = 'pg_authid'::regclass AND rolname = $1 AND datname <> current_database() ORDER BY 1
"""


async def apply_roles(database_url: str, *, prefix: str = ROLE_PREFIX) -> tuple[str, ...]:
    """Run `roles.sql`, which may be repeated; return the other databases of the server that use the same roles.

    Raises `StartError` if PostgreSQL is unreachable or refuses.
    """
    connection = await _connect(database_url)
    try:
        await connection.execute("SELECT set_config('molecule.role_prefix', $1, false)", prefix)
        await _run_script(connection)
        found = await connection.fetch(_OTHER_DATABASES, f"{prefix}_registry")
        return tuple(record["datname"] for record in found)
    except asyncpg.InsufficientPrivilegeError as error:
        user = await _read_session_user(connection)
        message = (
            f"the user {user} of DATABASE_URL may not make the plane's roles and schemas ({_first_line(error)}):"
            " an administrator of that database makes them once, with"
            f' PGOPTIONS="-c molecule.user={user} -c molecule.role_prefix={prefix}" psql -f {SCRIPT};'
            " then start again"
        )
        raise StartError(message) from error
    except asyncpg.PostgresError as error:
        message = f"the roles of the plane could not be made in PostgreSQL: {_first_line(error)}"
        raise StartError(message) from error
    finally:
        await connection.close()


async def _run_script(connection: asyncpg.Connection) -> None:
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            await connection.execute(SCRIPT.read_text())
        except CONFLICTS:
            await connection.execute("ROLLBACK")
            if attempt == MAX_ATTEMPTS:
                raise
            await asyncio.sleep(RETRY_SECONDS)
        else:
            return


async def _connect(database_url: str) -> asyncpg.Connection:
    try:
        return await asyncpg.connect(database_url, timeout=CONNECT_TIMEOUT_SECONDS)
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        message = f"PostgreSQL at DATABASE_URL cannot be used: {_first_line(error) or 'no answer in time'}"
        raise StartError(message) from error


async def _read_session_user(connection: asyncpg.Connection) -> str:
    await connection.execute("ROLLBACK")
    return str(await connection.fetchval("SELECT session_user"))


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
