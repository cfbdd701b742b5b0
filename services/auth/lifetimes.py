"""How long tokens last."""

from datetime import datetime, timedelta

from services.auth.errors import InvalidToken


def require_future(expires_at: datetime | None, *, now: datetime) -> datetime | None:
    """The expiry, if a token may have it; raises `InvalidToken`."""
    if expires_at is not None and expires_at <= now:
        raise InvalidToken("expires_at must be a time to come")
    return expires_at


def choose_earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    """The first of two ends; `None` is one that never comes."""
    if one is None or other is None:
        return one or other
    return min(one, other)


def compute_rotated_expiry(expires_at: datetime | None, *, now: datetime, grace: timedelta) -> datetime:
    """When a token ends that has been rotated: after the grace, or by itself before that."""
    end = now + grace
    return end if expires_at is None else min(end, expires_at)
