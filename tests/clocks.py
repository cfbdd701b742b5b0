"""A clock that only tests advance."""

from datetime import UTC, datetime, timedelta


class StillClock:
    """Returns the same time until a test advances it."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start

    def now(self) -> datetime:
        return self._now

    def advance(self, **span: float) -> None:
        self._now += timedelta(**span)
