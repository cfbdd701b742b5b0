"""Decides since when the plane can hear agents and people without a gap: silence counts only from then on."""

from dataclasses import dataclass
from datetime import datetime, timedelta

MAX_GAP = timedelta(seconds=20)
"""The longest time between two records of hearing that is no gap; a restart of a service takes less."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """The time in which the plane could hear without a gap: its begin, and the last record of it."""

    since: datetime
    until: datetime

    def is_current(self, now: datetime) -> bool:
        """Whether the plane can hear now. If not, nobody may be judged by silence."""
        return now - self.until <= MAX_GAP


def note_hearing(before: Hearing | None, now: datetime) -> Hearing:
    """Return the record of a plane that can hear now. After a gap, and after the first start, it begins now."""
    if before is None or not before.is_current(now):
        return Hearing(since=now, until=now)
    return Hearing(since=before.since, until=max(before.until, now))
