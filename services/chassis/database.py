"""PostgreSQL: engines, transactions, migrations, advisory locks and notifications."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import asyncpg
import sqlalchemy as sa
import structlog
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from services.chassis import database_outage
from services.chassis.database_outage import OutageLog, current_loop
from services.chassis.errors import Unavailable

log = structlog.get_logger()

CONNECT_TIMEOUT_SECONDS = 5.0
"""Seconds until a connection attempt fails."""

STATEMENT_TIMEOUT = timedelta(seconds=10)
"""Time for one statement of a service."""

TRANSACTION_TIMEOUT = timedelta(seconds=30)
"""Time for one transaction. The server's own limit does not help while the server hangs."""

RETRY_IN = timedelta(seconds=5)
"""The time after which a caller may try again that met an outage."""

LOCK_CHECK_SECONDS = 2.0
"""Seconds between two attempts to take a lock, and between two checks of its connection."""

MIGRATIONS = Path(__file__).parent / "migrations"
"""The alembic environment that all services share."""


@asynccontextmanager
async def open_engine(url: str, *, role: str | None, pool: int = 10) -> AsyncIterator[AsyncEngine]:
    """Open an engine whose connections use `role`; it is closed at the end of the block."""
    settings = {
        "application_name": role or "molecule",
        "statement_timeout": str(STATEMENT_TIMEOUT // timedelta(milliseconds=1)),
    }
    if role:
        settings["role"] = role
    engine = create_async_engine(
        _sqlalchemy_url(url),
        pool_size=pool,
        max_overflow=0,
        pool_timeout=CONNECT_TIMEOUT_SECONDS,
        connect_args={"timeout": CONNECT_TIMEOUT_SECONDS, "server_settings": settings},
        hide_parameters=True,  # they hold users' data, which must not reach the logs
    )
    try:
        yield engine
    finally:
        await engine.dispose()


class DatabaseUnavailable(Unavailable):
    """The database cannot be used now; its outage is already logged."""


@asynccontextmanager
async def transaction(
    engine: AsyncEngine, *, within: timedelta = TRANSACTION_TIMEOUT
) -> AsyncIterator[AsyncConnection]:
    """Open a transaction; it is committed at the end of the block, or rolled back if the block raises.

    Raises `DatabaseUnavailable` when the database cannot be reached, the connection is lost, or the time is over;
    whether a commit in progress took effect is then unknown.
    """
    try:
        async with asyncio.timeout(within.total_seconds()), engine.begin() as connection:
            try:
                yield connection
            except DBAPIError as error:
                if database_outage.find_state(error) == database_outage.READ_ONLY_STATE:
                    await connection.invalidate()  # its server became a standby, so the pool connects anew
                raise
    except Exception as error:
        if not database_outage.is_outage(error):
            raise
        raise _report_outage(error) from error
    _outages.note_success(current_loop.get())


def migrate(url: str, *, role: str | None, schema: str, folder: Path) -> None:
    """Upgrade `schema` to the newest migration in `folder`. Blocking; one at a time in a process.

    An advisory lock lets one process migrate at a time. Raises `NewerSchema`, and changes nothing, if a newer release
    has migrated the schema.
    """
    from alembic import command  # imported here because only migrations need it, and it slows every start
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("version_locations", str(folder))
    config.set_main_option("path_separator", "os")
    config.attributes.update(url=_sqlalchemy_url(url), schema=schema, role=role)
    command.upgrade(config, "head")


class NewerSchema(Exception):
    """The schema was migrated by a newer release; migrations do not go backwards."""

    def __init__(self, schema: str, revision: str) -> None:
        super().__init__(
            f"the tables of {schema} were made by a newer release (revision {revision}): migrations go forwards only;"
            " run that release, or restore a backup of the database from before the upgrade instead"
        )


class AdvisoryLock:
    """A PostgreSQL advisory lock, held by one replica at a time."""

    def __init__(self, url: str, *, role: str | None, name: str) -> None:
        self._url = url
        self._role = role
        self._name = name
        self._key = int.from_bytes(sha256(f"molecule.{name}".encode()).digest()[:8], "big", signed=True)

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work` whenever this replica holds the lock, until cancelled. It is cancelled when the lock is lost."""
        while True:
            try:
                connection = await connect(self._url, role=self._role)
            except Unavailable:
                await asyncio.sleep(LOCK_CHECK_SECONDS)
                continue
            try:
                await self._take(connection)
                log.debug("lock taken", lock=self._name)
                await self._hold(connection, work)
            except (_LockLost, Unavailable):
                log.warning("lock lost", lock=self._name)
                await asyncio.sleep(LOCK_CHECK_SECONDS)
            finally:
                with contextlib.suppress(Exception):
                    await connection.close(timeout=1)

    async def _take(self, connection: asyncpg.Connection) -> None:
        while not await _fetch_value(connection, "select pg_try_advisory_lock($1)", self._key):  # noqa: ASYNC110 - PostgreSQL sends no event
            await asyncio.sleep(LOCK_CHECK_SECONDS)

    async def _hold(self, connection: asyncpg.Connection, work: Callable[[], Awaitable[None]]) -> None:
        checking = asyncio.ensure_future(_check_connection(connection))
        working = asyncio.ensure_future(work())
        try:
            done, _ = await asyncio.wait({checking, working}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            checking.cancel()
            working.cancel()
            await asyncio.gather(checking, working, return_exceptions=True)
        for task in done:
            task.result()


class _LockLost(Exception):
    """The connection that held the lock was lost, and with it the lock."""


async def _fetch_value(connection: asyncpg.Connection, query: str, *values: object) -> object:
    try:
        return await connection.fetchval(query, *values, timeout=CONNECT_TIMEOUT_SECONDS)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
        raise _LockLost from None


async def _check_connection(connection: asyncpg.Connection) -> None:
    while True:
        await asyncio.sleep(LOCK_CHECK_SECONDS)
        await _fetch_value(connection, "select 1")


class NotificationListener:
    """Wakes a reader of a table after each commit that sends a notification. Notifications carry no content."""

    def __init__(self, url: str, *, role: str | None, channel: str) -> None:
        self._url = url
        self._role = role
        self._channel = channel
        self._notified = asyncio.Event()

    async def listen(self) -> None:
        """Listen until cancelled, and reconnect when the connection is lost.

        A reconnection counts as a notification, because one may have been missed.
        """
        while True:
            try:
                await self._listen_once()
            except Unavailable:
                await asyncio.sleep(LOCK_CHECK_SECONDS)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                _report_outage(error)
                await asyncio.sleep(LOCK_CHECK_SECONDS / 4)

    async def wait(self, within: timedelta) -> bool:
        """Wait for a notification since the last call; return whether there was one. For a single reader."""
        try:
            async with asyncio.timeout(within.total_seconds()):
                await self._notified.wait()
        except TimeoutError:
            return False
        self._notified.clear()
        return True

    async def _listen_once(self) -> None:
        connection = await connect(self._url, role=self._role)
        try:
            await connection.add_listener(self._channel, lambda *_: self._notified.set())
            self._notified.set()
            while True:
                await asyncio.sleep(LOCK_CHECK_SECONDS)
                await connection.fetchval("select 1", timeout=CONNECT_TIMEOUT_SECONDS)
        finally:
            with contextlib.suppress(Exception):
                await connection.close(timeout=1)


async def connect(url: str, *, role: str | None) -> asyncpg.Connection:
    """Open a connection outside of any pool; raises `DatabaseUnavailable`."""
    try:
        connection = await _open_connection(url, role)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise _report_outage(error) from error
    _outages.note_success(current_loop.get())
    return connection


async def find_trouble(url: str, *, role: str | None, within: timedelta) -> str:
    """Return why the database cannot be used, in words for anybody; empty if a new connection is answered in time."""
    try:
        async with asyncio.timeout(within.total_seconds()):
            connection = await _open_connection(url, role)
            try:
                is_standby = await connection.fetchval("select pg_is_in_recovery()")
            finally:
                connection.terminate()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        return _describe_trouble(error)
    return "database is read-only" if is_standby else ""


async def check_configuration(url: str, *, role: str | None) -> str:
    """Return why no retry can help to connect; empty if the database answers, or does not answer now."""
    try:
        connection = await _open_connection(url, role)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        if database_outage.is_wrong_configuration(error):
            return _describe_trouble(error)
        log.warning("service waits for the database", cause=database_outage.describe_cause(error))
        return ""
    connection.terminate()
    return ""


async def _open_connection(url: str, role: str | None) -> asyncpg.Connection:
    parts = make_url(url)
    host, port, ssl = (parts.query.get(name) for name in ("host", "port", "sslmode"))
    return await asyncpg.connect(
        host=host or parts.host,
        port=port or parts.port,
        ssl=ssl,
        user=parts.username,
        password=parts.password,
        database=parts.database,
        timeout=CONNECT_TIMEOUT_SECONDS,
        server_settings={"application_name": role or "molecule"} | ({"role": role} if role else {}),
    )


def _describe_trouble(error: BaseException) -> str:
    if database_outage.is_wrong_configuration(error):
        return "database refuses the user, the role or the name of the database"
    return "database does not answer" if isinstance(error, OSError) else "database starts, stops or is full"


def _report_outage(error: BaseException) -> DatabaseUnavailable:
    _outages.note_failure(current_loop.get(), database_outage.describe_cause(error))
    return DatabaseUnavailable(retry_in=RETRY_IN)


_outages = OutageLog("database")


def _sqlalchemy_url(url: str) -> URL:
    """Return the URL for SQLAlchemy, which passes its parameters on to asyncpg by the names of asyncpg."""
    parts = make_url(url).set(drivername="postgresql+asyncpg")
    ssl_mode = parts.query.get("sslmode")
    return parts.difference_update_query(["sslmode"]).update_query_dict({"ssl": ssl_mode} if ssl_mode else {})


_NAMING_CONVENTION = {
    "pk": "%(table_name)s_pkey",
    "ix": "%(table_name)s_%(column_0_N_name)s",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
}
"""Names of constraints and indexes for which a table gives none."""


def build_metadata(schema: str) -> sa.MetaData:
    """Return the metadata for the tables of one service, in its schema."""
    return sa.MetaData(schema=schema, naming_convention=_NAMING_CONVENTION)
