"""Decides when tokens expire."""

from datetime import datetime, timedelta

from services.auth.errors import InvalidToken


def require_future(expires_at: datetime | None, *, now: datetime) -> datetime | None:
    """Return the expiry if a new token may have it; raises `InvalidToken` if it is not in the future."""
    if expires_at is not None and expires_at <= now:
        raise InvalidToken("expires_at must be a time to come")
    return expires_at


def choose_earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    """Return the earlier of two expiries; `None` means never."""
    if one is None or other is None:
        return one or other
    return min(one, other)


def compute_rotated_expiry(expires_at: datetime | None, *, now: datetime, grace: timedelta) -> datetime:
    """Return when a rotated token expires: after the grace, or at its own expiry if that is earlier."""
    end = now + grace
    return end if expires_at is None else min(end, expires_at)
