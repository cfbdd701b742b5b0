"""Converts timestamps: 0.3 allows any text, and 1.0 demands RFC 3339."""

import re
from datetime import UTC, datetime
from typing import Any

from molecule_a2a.model import JsonObject


def upgrade_timestamp(text: str) -> str | None:
    """Return the time in the form of 1.0, or `None` for a text that is no time.

    A time without a zone is in UTC. A time that is well formed stays as it is, digit for digit.
    """
    for candidate in (text, f"{text}Z"):
        if _RFC_3339.fullmatch(candidate):
            return candidate if _parse(candidate) else None
    time = _parse(text.upper())
    return None if time is None else time.isoformat().replace("+00:00", "Z")


def upgrade_status_time(status: JsonObject) -> JsonObject:
    """Return a status with its time in the form of 1.0. A text that is no time is left out."""
    timestamp = status.get("timestamp")
    if not isinstance(timestamp, str):
        return status
    time = upgrade_timestamp(timestamp)
    others = {name: member for name, member in status.items() if name != "timestamp"}
    return others if time is None else {**others, "timestamp": time}


def upgrade_timestamps(value: Any) -> Any:  # noqa: ANN401 - JSON is anything
    """Return an answer with the times of its statuses in the form of 1.0, without those that are no times.

    Data and metadata belong to the application and stay as they are.
    """
    if isinstance(value, list):
        return [upgrade_timestamps(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: _upgrade_member(name, member) for name, member in value.items()}


def _upgrade_member(name: str, member: Any) -> Any:  # noqa: ANN401 - JSON is anything
    if name in _OF_APPLICATION:
        return member
    upgraded = upgrade_timestamps(member)
    return upgrade_status_time(upgraded) if name == "status" and isinstance(upgraded, dict) else upgraded


_OF_APPLICATION = frozenset({"data", "metadata"})

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)


def _parse(text: str) -> datetime | None:
    """Return the time in UTC; `None` for a text that is no time, or beyond the years 1 to 9999."""
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
