"""Says when cron expressions fire (docs/spec/rest.md, 6.11).

cronsim computes the times: like the cron of Debian it runs an expression with a fixed hour and minute exactly once a
day, also where the clock of a time zone is put forward or back. Names of time zones are those of the package tzdata, so
that every machine knows the same ones.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from services.a2a_proxy.errors import InvalidSchedule

CRON_FIELDS = 5
"""Fields of an expression: minute, hour, day of the month, month, day of the week."""

MAX_CRON_EXPR_CHARACTERS = 100

MAX_TIMEZONE_CHARACTERS = 64

MAX_REPEATED_TIMES = 200
"""Times in a row that are not later than the one asked for: those of an hour that the clock repeats."""


def check_expression(cron_expr: str, timezone: str) -> None:
    """Raise `InvalidSchedule` for an expression or a time zone that is not valid, or that never fires."""
    _find_zone(timezone)
    if find_next(cron_expr, timezone, datetime(2000, 1, 1, tzinfo=UTC)) is None:
        raise _invalid_expression()


def find_next(cron_expr: str, timezone: str, after: datetime) -> datetime | None:
    """Return the first time after a moment, in UTC; `None` if there is none within 50 years.

    Raises `InvalidSchedule`.
    """
    for attempt, time in enumerate(_iterate(cron_expr, timezone, after)):
        if time > after:
            return time
        if attempt == MAX_REPEATED_TIMES:
            break
    return None


def find_last(cron_expr: str, timezone: str, *, since: datetime, until: datetime) -> datetime:
    """Return the last time from `since`, which is one, up to `until`; raises `InvalidSchedule`."""
    for time in _iterate(cron_expr, timezone, until.replace(microsecond=0) + timedelta(seconds=1), reverse=True):
        return max(since, time) if time <= until else since
    return since


def find_interval(cron_expr: str, timezone: str, at: datetime) -> timedelta:
    """Return the longer one of the two intervals that begin at `at` and at the first time after it."""
    first = find_next(cron_expr, timezone, at)
    second = None if first is None else find_next(cron_expr, timezone, first)
    if first is None or second is None:
        return timedelta()
    return max(first - at, second - first)


def _iterate(cron_expr: str, timezone: str, start: datetime, *, reverse: bool = False) -> Iterator[datetime]:
    """Yield the times after or before a moment, in UTC; raises `InvalidSchedule`."""
    zone = _find_zone(timezone)
    if len(cron_expr) > MAX_CRON_EXPR_CHARACTERS or not cron_expr.isascii() or not cron_expr.isprintable():
        raise _invalid_expression()
    if len(cron_expr.split()) != CRON_FIELDS:
        raise _invalid_expression()
    try:
        times = CronSim(cron_expr, start.astimezone(zone), reverse=reverse)
    except CronSimError:
        raise _invalid_expression() from None
    return (time.astimezone(UTC) for time in times)


def _find_zone(timezone: str) -> ZoneInfo:
    if timezone not in _list_zones():
        raise InvalidSchedule(f"invalid timezone: {timezone[:MAX_TIMEZONE_CHARACTERS]}")
    return ZoneInfo(timezone)


@lru_cache(maxsize=1)
def _list_zones() -> frozenset[str]:
    return frozenset(files("tzdata").joinpath("zones").read_text().split())


def _invalid_expression() -> InvalidSchedule:
    return InvalidSchedule("invalid request body", details={"detail": "invalid cron_expr"})
