"""Creates the roles and schemas of the services in PostgreSQL, before the migrations run."""

from pathlib import Path

import asyncpg

from deploy.errors import StartError

SCRIPT = Path(__file__).with_name("roles.sql")

CONNECT_TIMEOUT_SECONDS = 5
"""A PostgreSQL that runs answers at once; one behind a closed firewall never does."""


async def apply_roles(database_url: str) -> None:
    """Run `roles.sql`, which may be repeated. Raises `StartError` if PostgreSQL is unreachable or refuses."""
    connection = await _connect(database_url)
    try:
        await connection.execute(SCRIPT.read_text())
    except asyncpg.InsufficientPrivilegeError as error:
        user = await _read_session_user(connection)
        message = (
            f"the user {user} of DATABASE_URL may not make the plane's roles and schemas ({_first_line(error)}):"
            f" run {SCRIPT} once as an administrator of that database, who then grants {user} the molecule_ roles"
        )
        raise StartError(message) from error
    except asyncpg.PostgresError as error:
        message = f"the roles of the plane could not be made in PostgreSQL: {_first_line(error)}"
        raise StartError(message) from error
    finally:
        await connection.close()


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
