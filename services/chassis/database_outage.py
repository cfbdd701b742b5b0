"""Tells an outage of PostgreSQL from a faulty statement, and logs outages without repetition."""

import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
import structlog
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

OUTAGE_STATES = ("08", "40", "53", "57", "58", "25006", "25P03", "55P03")
"""The beginnings of the SQLSTATEs with which a server refuses a correct statement: lost connections, conflicts of
transactions, missing resources, start and stop, errors of its system, a standby, and lock timeouts."""

CONFIGURATION_STATES = ("28", "3D000", "22023", "42501")
"""SQLSTATEs of a refused connection that no retry mends: wrong user, password, database or
role."""

READ_ONLY_STATE = "25006"
"""The server became a standby, so the connection must not be used again."""

MIN_LOG_INTERVAL = timedelta(seconds=10)
"""The least time between two reports of an outage by one loop; a database may come and go many times a second."""

REQUESTS = "requests"
"""Stands for the name of a loop in the log if no loop is running."""

current_loop: ContextVar[str] = ContextVar("current_loop", default=REQUESTS)
"""The name of the loop that runs in this context."""

log = structlog.get_logger()


def is_outage(error: BaseException) -> bool:
    """Whether an error of a transaction says that the database cannot be used now. Another one is a bug."""
    match error:
        case OperationalError() | InterfaceError() | PoolTimeout() | OSError():
            return True
        case asyncpg.InterfaceError() | asyncpg.InternalClientError():
            return True
        case asyncpg.PostgresError():  # SQLAlchemy translates every error but those of a connection attempt
            return True
        case DBAPIError():
            is_lost = error.connection_invalidated or isinstance(_find_root(error), OSError | asyncpg.InterfaceError)
            return is_lost or find_state(error).startswith(OUTAGE_STATES)
        case _:
            return False


def is_wrong_configuration(error: BaseException) -> bool:
    """Whether a refused connection needs another configuration."""
    return isinstance(error, asyncpg.PostgresError) and find_state(error).startswith(CONFIGURATION_STATES)


def find_state(error: BaseException) -> str:
    """Return the SQLSTATE of an error; empty if it has none."""
    return str(getattr(_find_root(error), "sqlstate", None) or "")


def describe_cause(error: BaseException) -> str:
    """Return the SQLSTATE and the class of an error, for logs; never its text, which may hold data."""
    root = _find_root(error)
    state = find_state(error)
    return f"{state} ({type(root).__name__})" if state else type(root).__name__


def _find_root(error: BaseException) -> BaseException:
    found = error
    while (cause := (found.orig if isinstance(found, DBAPIError) else None) or found.__cause__) is not None:
        found = cause
    return found


@dataclass(slots=True, kw_only=True)
class _Outage:
    """One outage as one loop sees it."""

    began: float
    failures: int = 0
    is_reported: bool = False


class OutageLog:
    """Logs one line when an outage begins and one when it ends, for each loop."""

    def __init__(self, dependency: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`monotonic` returns seconds."""
        self._dependency = dependency
        self._monotonic = monotonic
        self._outages: dict[str, _Outage] = {}
        self._reported_at: dict[str, float] = {}

    def note_failure(self, loop: str, cause: str) -> None:
        """Record a failure; the first one of an outage is logged."""
        now = self._monotonic()
        outage = self._outages.setdefault(loop, _Outage(began=now))
        outage.failures += 1
        if (
            not outage.is_reported
            and now - self._reported_at.get(loop, float("-inf")) >= MIN_LOG_INTERVAL.total_seconds()
        ):
            outage.is_reported = True
            self._reported_at[loop] = now
            log.warning("outage begins", dependency=self._dependency, loop=loop, cause=cause)

    def note_success(self, loop: str) -> None:
        """Record a success; it ends the outage."""
        if not self._outages:
            return
        outage = self._outages.pop(loop, None)
        if outage is not None and outage.is_reported:
            lasted = round(self._monotonic() - outage.began)
            log.info("outage ends", dependency=self._dependency, loop=loop, seconds=lasted, failures=outage.failures)
