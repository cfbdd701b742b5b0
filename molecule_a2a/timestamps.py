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


def upgrade_result_times(result: JsonObject) -> JsonObject:
    """Return a result or an event with the times of its tasks in the form of 1.0: some agents leave out the zone."""
    upgraded: JsonObject = _upgrade_own_time({name: _upgrade_member(name, member) for name, member in result.items()})
    return upgraded


def _upgrade_member(name: str, member: Any) -> Any:  # noqa: ANN401 - JSON is anything
    if name in ("task", "statusUpdate"):
        return _upgrade_own_time(member)
    if name == "tasks" and isinstance(member, list):
        return [_upgrade_own_time(task) for task in member]
    return member


def _upgrade_own_time(holder: Any) -> Any:  # noqa: ANN401 - JSON is anything
    """Return a task or an update with the time of its status in the form of 1.0; anything else as it is."""
    status = holder.get("status") if isinstance(holder, dict) else None
    return {**holder, "status": upgrade_status_time(status)} if isinstance(status, dict) else holder


_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)


def _parse(text: str) -> datetime | None:
    """Return the time in UTC; `None` for a text that is no time, or beyond the years 1 to 9999."""
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
