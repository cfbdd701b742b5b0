"""Prepares the PostgreSQL of a plane in containers: roles, migrations, and a login for each service."""

import asyncio
import sys
from urllib.parse import unquote, urlsplit

import asyncpg

from deploy import logins, migrations, roles
from deploy.errors import StartError
from services.chassis.setting_types import DatabaseUrl
from services.chassis.settings import ROLE_PREFIX, EnvironmentSettings, InvalidSettings, load_settings, with_prefix

START_TIMEOUT_SECONDS = 120
"""Time for a PostgreSQL that makes its cluster, or recovers after a crash."""

RETRY_SECONDS = 0.5

OWN_SERVER = ("postgres", "postgres")
"""Superuser and host of the plane's own PostgreSQL, in which each service has a login of its own."""

STARTING = (OSError, TimeoutError, asyncpg.CannotConnectNowError)
"""What a connection raises while the server starts."""


class PreparationSettings(EnvironmentSettings):
    """The settings of the preparation."""

    model_config = with_prefix("")

    database_url: DatabaseUrl
    """The login that makes roles and tables."""


def main() -> int:
    """Prepare the database; return the exit code."""
    try:
        settings = load_settings(PreparationSettings)
        asyncio.run(prepare(settings.database_url.get_secret_value()))
    except (StartError, InvalidSettings) as error:
        print(f"molecule: {error}", file=sys.stderr)  # noqa: T201 - output of a command
        return 1
    print("molecule: the database is up to date")  # noqa: T201 - the same
    return 0


async def prepare(url: str) -> None:
    """Wait for the server, then make what is missing. Raises `StartError` if the server refuses."""
    await _wait_for_server(url)
    await roles.apply_roles(url, prefix=ROLE_PREFIX)
    await migrations.migrate_all(url, prefix=ROLE_PREFIX)
    parts = urlsplit(url)
    if (parts.username, parts.hostname) == OWN_SERVER:
        await logins.create_logins(url, prefix=ROLE_PREFIX, superuser_password=unquote(parts.password or ""))


async def _wait_for_server(url: str) -> None:
    deadline = asyncio.get_running_loop().time() + START_TIMEOUT_SECONDS
    while True:
        try:
            connection = await asyncpg.connect(url, timeout=roles.CONNECT_TIMEOUT_SECONDS)
        except STARTING as error:
            if asyncio.get_running_loop().time() > deadline:
                raise StartError(f"PostgreSQL does not answer within {START_TIMEOUT_SECONDS} s") from error
            await asyncio.sleep(RETRY_SECONDS)
        except (ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise StartError(
                f"PostgreSQL at DATABASE_URL cannot be used: {str(error).partition(chr(10))[0]}"
            ) from error
        else:
            await connection.close()
            return


if __name__ == "__main__":
    sys.exit(main())
