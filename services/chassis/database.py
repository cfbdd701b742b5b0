"""PostgreSQL: engines, transactions, migrations, locks that only one replica holds, and the doorbell."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import asyncpg
import sqlalchemy as sa
import structlog
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from services.chassis.errors import Unavailable

log = structlog.get_logger()

CONNECT_TIMEOUT_SECONDS = 5.0
"""Seconds until a connection attempt counts as failed."""

STATEMENT_TIMEOUT = timedelta(seconds=10)
"""How long one statement of a service may take."""

LOCK_CHECK_SECONDS = 2.0
"""Seconds between two attempts to become the holder of a lock, and between two proofs of still being it."""

MIGRATIONS = Path(__file__).parent / "migrations"
"""The one alembic environment; each service brings its numbered files."""


@asynccontextmanager
async def open_engine(url: str, *, role: str | None, pool: int = 10) -> AsyncIterator[AsyncEngine]:
    """An engine that enters `role` at connect; closed at the end of the block."""
    settings = {"application_name": role or "molecule", "statement_timeout": str(_milliseconds(STATEMENT_TIMEOUT))}
    if role:
        settings["role"] = role
    engine = create_async_engine(
        _sqlalchemy_url(url),
        pool_size=pool,
        max_overflow=0,
        pool_timeout=CONNECT_TIMEOUT_SECONDS,
        connect_args={"timeout": CONNECT_TIMEOUT_SECONDS, "server_settings": settings},
        hide_parameters=True,  # they hold what others write, which no log is meant to keep
    )
    try:
        yield engine
    finally:
        await engine.dispose()


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """One transaction: committed at the end of the block, rolled back if the block raises.

    Raises `Unavailable` when the database cannot be reached or goes away; whether a commit under way at that moment
    took effect is then unknown.
    """
    with _translate_errors():
        async with engine.begin() as connection:
            yield connection


def migrate(url: str, *, role: str | None, schema: str, folder: Path) -> None:
    """Bring `schema` up to the newest of the numbered files in `folder`. Blocking; one at a time in a process.

    Across processes an advisory lock lets one work while the others wait. Raises `NewerSchema`, and changes nothing,
    where a newer release was here before.
    """
    from alembic import command  # only migrating needs alembic, and every service starts faster without it
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("version_locations", str(folder))
    config.set_main_option("path_separator", "os")
    config.attributes.update(url=_sqlalchemy_url(url), schema=schema, role=role)
    command.upgrade(config, "head")


class NewerSchema(Exception):
    """Migrations go forwards only: a release does not take over the tables of a later one."""

    def __init__(self, schema: str, revision: str) -> None:
        super().__init__(
            f"the tables of {schema} were made by a newer release (revision {revision}): migrations go forwards only;"
            " run that release, or restore a backup of the database from before the upgrade instead"
        )


class AdvisoryLock:
    """An advisory lock: what runs under it runs in one replica at a time."""

    def __init__(self, url: str, *, role: str | None, name: str) -> None:
        self._url = url
        self._role = role
        self._name = name
        self._key = int.from_bytes(sha256(f"molecule.{name}".encode()).digest()[:8], "big", signed=True)

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work` while this replica holds the lock, until cancelled; a holder that loses the lock stops working."""
        while True:
            try:
                connection = await connect(self._url, role=self._role)
            except Unavailable:
                await asyncio.sleep(LOCK_CHECK_SECONDS)
                continue
            try:
                await self._take(connection)
                log.info("lock taken", lock=self._name)
                await self._hold(connection, work)
            except _LockLost:
                log.warning("lock lost", lock=self._name)
                await asyncio.sleep(LOCK_CHECK_SECONDS)
            finally:
                with contextlib.suppress(Exception):
                    await connection.close(timeout=1)

    async def _take(self, connection: asyncpg.Connection) -> None:
        while not await _fetch_value(connection, "select pg_try_advisory_lock($1)", self._key):  # noqa: ASYNC110 - it cannot call
            await asyncio.sleep(LOCK_CHECK_SECONDS)

    async def _hold(self, connection: asyncpg.Connection, work: Callable[[], Awaitable[None]]) -> None:
        proving = asyncio.ensure_future(_check_connection(connection))
        working = asyncio.ensure_future(work())
        try:
            done, _ = await asyncio.wait({proving, working}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            proving.cancel()
            working.cancel()
            await asyncio.gather(proving, working, return_exceptions=True)
        for task in done:
            task.result()


class _LockLost(Exception):
    """The connection that held the lock is gone, and the lock with it."""


async def _fetch_value(connection: asyncpg.Connection, question: str, *values: object) -> object:
    try:
        return await connection.fetchval(question, *values, timeout=CONNECT_TIMEOUT_SECONDS)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
        raise _LockLost from None


async def _check_connection(connection: asyncpg.Connection) -> None:
    while True:
        await asyncio.sleep(LOCK_CHECK_SECONDS)
        await _fetch_value(connection, "select 1")


class NotificationListener:
    """Wakes readers of a table when a writer somewhere commits. It says that something changed, never what."""

    def __init__(self, url: str, *, role: str | None, channel: str) -> None:
        self._url = url
        self._role = role
        self._channel = channel
        self._ring = asyncio.Event()

    async def listen(self) -> None:
        """Listen until cancelled, coming back by itself. A reconnection rings too: something may have been missed."""
        while True:
            try:
                await self._listen_once()
            except (Unavailable, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                await asyncio.sleep(LOCK_CHECK_SECONDS / 4)

    async def wait(self, within: timedelta) -> bool:
        """Whether it rang since it was last asked; if not, wait for it. For one reader: what it misses is kept."""
        try:
            async with asyncio.timeout(within.total_seconds()):
                await self._ring.wait()
        except TimeoutError:
            return False
        self._ring.clear()
        return True

    async def _listen_once(self) -> None:
        connection = await connect(self._url, role=self._role)
        try:
            await connection.add_listener(self._channel, lambda *_: self._ring.set())
            self._ring.set()
            while True:
                await asyncio.sleep(LOCK_CHECK_SECONDS)
                await connection.fetchval("select 1", timeout=CONNECT_TIMEOUT_SECONDS)
        finally:
            with contextlib.suppress(Exception):
                await connection.close(timeout=1)


async def connect(url: str, *, role: str | None) -> asyncpg.Connection:
    """A connection of its own, outside any pool; raises `Unavailable`."""
    parts = make_url(url)
    host = parts.query.get("host", parts.host)
    try:
        return await asyncpg.connect(
            host=host if isinstance(host, str) else None,
            port=parts.port,
            user=parts.username,
            password=parts.password,
            database=parts.database,
            timeout=CONNECT_TIMEOUT_SECONDS,
            server_settings={"application_name": role or "molecule"} | ({"role": role} if role else {}),
        )
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        log.warning("database unreachable", error=type(error).__name__)
        raise Unavailable(retry_in=timedelta(seconds=5)) from None


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        log.warning("database unreachable", error=repr(error))
        raise Unavailable(retry_in=timedelta(seconds=5)) from error
    except DBAPIError as error:
        if not error.connection_invalidated and not isinstance(_root_cause(error), _CONNECTION_ERRORS):
            raise
        log.warning("database gone", error=repr(error))
        raise Unavailable(retry_in=timedelta(seconds=5)) from error


_CONNECTION_ERRORS = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
)


def _root_cause(error: DBAPIError) -> BaseException | None:
    found: BaseException | None = error.orig
    while found is not None and found.__cause__ is not None:
        found = found.__cause__
    return found


def _sqlalchemy_url(url: str) -> URL:
    return make_url(url).set(drivername="postgresql+asyncpg")


def _milliseconds(span: timedelta) -> int:
    return int(span.total_seconds() * 1000)


def naming_convention() -> dict[str, str]:
    """How constraints and indexes are called where a table does not say."""
    return {
        "pk": "%(table_name)s_pkey",
        "ix": "%(table_name)s_%(column_0_N_name)s",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    }


def metadata(schema: str) -> sa.MetaData:
    """The tables of one service, in its schema."""
    return sa.MetaData(schema=schema, naming_convention=naming_convention())
