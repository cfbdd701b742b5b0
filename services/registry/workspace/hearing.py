"""Measures silence: only the time counts in which the plane could hear agents and people."""

from dataclasses import dataclass
from datetime import datetime, timedelta

MAX_GAP = timedelta(seconds=20)
"""The longest time between two records of hearing that is no gap; a restart of a service takes less."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """The time in which the plane could hear without a gap: its begin, and the last record of it."""

    since: datetime
    until: datetime


def note_hearing(before: Hearing | None, now: datetime) -> Hearing:
    """Return the record of a plane that can hear now. After a gap, and after the first start, it begins now."""
    if before is None or now - before.until > MAX_GAP:
        return Hearing(since=now, until=now)
    return Hearing(since=before.since, until=max(before.until, now))


def measure_silence(hearing: Hearing, last_heard: datetime | None, now: datetime) -> timedelta:
    """Return for how long the plane heard nothing, although it could. It does not grow while the plane cannot hear."""
    began = hearing.since if last_heard is None else max(last_heard, hearing.since)
    return min(now, hearing.until) - began
