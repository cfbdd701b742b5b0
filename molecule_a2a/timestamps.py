"""Converts timestamps: 0.3 allows any text, and 1.0 demands RFC 3339."""

import re
from datetime import UTC, datetime


def upgrade_timestamp(text: str) -> str | None:
    """Return the time in the form of 1.0, or `None` for a text that is no time.

    A time without a zone is in UTC. A time that is well formed stays as it is, digit for digit.
    """
    for candidate in (text, f"{text}Z"):
        if _RFC_3339.fullmatch(candidate):
            return candidate if _parse(candidate) else None
    time = _parse(text.upper())
    return None if time is None else time.isoformat().replace("+00:00", "Z")


_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)


def _parse(text: str) -> datetime | None:
    """Return the time in UTC; `None` for a text that is no time, or beyond the years 1 to 9999."""
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
