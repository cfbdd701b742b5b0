"""Executes frequent statements on connections of the driver.

SQLAlchemy takes more processor time for a short statement than PostgreSQL does.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Self

import asyncpg

from services.chassis import database, database_outage


class DriverConnections:
    """A few connections that stay open. Each statement on them is a transaction of its own."""

    def __init__(self, url: str, *, role: str | None, limit: int, settings: Mapping[str, str] | None = None) -> None:
        """At most `limit` statements are under way; `settings` are parameters of PostgreSQL."""
        self._url = url
        self._role = role
        self._free = asyncio.Semaphore(limit)
        self._idle: list[Any] = []
        timeout = database.STATEMENT_TIMEOUT // timedelta(milliseconds=1)
        given = {"statement_timeout": str(timeout), **(settings or {})}
        self._preparation = "; ".join(f"SET {name} = '{value}'" for name, value in given.items())

    async def __aenter__(self) -> Self:
        """Open no connection yet: the first statement does."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections that no statement uses."""
        while self._idle:
            self._idle.pop().terminate()

    async def fetch(self, statement: str, values: Sequence[Any]) -> Sequence[Any]:
        """Execute a statement and return its rows; raises `DatabaseUnavailable`.

        It is unknown then whether the statement took effect, and also if the caller is cancelled.
        """
        async with self._free:
            connection = None
            try:
                connection = self._take_idle() or await self._open()
                rows: Sequence[Any] = await connection.fetch(statement, *values)
            except BaseException as error:
                if connection is not None:
                    connection.terminate()
                if _is_outage(error):
                    raise database.DatabaseUnavailable(retry_in=database.RETRY_IN) from error
                raise
            self._idle.append(connection)
            return rows

    def _take_idle(self) -> Any:  # noqa: ANN401 - the driver has no types
        """Return the connection that was used last and is still open; `None` without one."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return None

    async def _open(self) -> Any:  # noqa: ANN401 - the driver has no types
        connection = await database.connect(self._url, role=self._role)
        try:
            await connection.execute(self._preparation)
        except BaseException:
            connection.terminate()
            raise
        return connection


def _is_outage(error: BaseException) -> bool:
    """Whether an error of the driver says that the database cannot be used now. Another one is a bug."""
    match error:
        case asyncpg.PostgresError():
            return database_outage.find_state(error).startswith(database_outage.OUTAGE_STATES)
        case asyncpg.InterfaceError():
            return not isinstance(error, ValueError)  # a wrong value has two classes
        case _:
            return isinstance(error, OSError | asyncpg.InternalClientError)
