"""Decides when a workspace has been idle for long enough to hibernate (BEY-03, PROV-53)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from services.registry.workspace.model import Workspace
from services.registry.workspace.state_machine import ONLINE_STATUSES

CHECK_TIMEOUT = timedelta(seconds=30)
"""How long the proxies may take to answer whether a workspace has work."""

REPORTER_TIMEOUT = timedelta(seconds=30)
"""Age of the last report from which a proxy may have work that the registry does not know."""

REPORTER_LIFETIME = timedelta(minutes=5)
"""Age of the last report from which a proxy counts as ended; its calls have ended with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkReporter:
    """A replica of the proxy: which revision it had seen when it last reported, and when that was."""

    replica_id: str
    seen_revision: int
    reported_at: datetime


class Verdict(StrEnum):
    """What becomes of the check of a workspace."""

    WAITING = "waiting"
    """Not every proxy has answered."""
    IDLE = "idle"
    """It had no work, and no proxy gives it any."""
    BUSY = "busy"
    """It has work, or had it lately."""
    UNANSWERED = "unanswered"
    """A proxy did not answer in time."""


def start_idle_clock(before: Workspace, now: Workspace, at: datetime) -> Workspace:
    """Return a changed workspace with its idle time beginning if it hibernates from now on: no work is known."""
    if before.hibernates_when_idle or not now.hibernates_when_idle:
        return now
    return replace(now, vitals=replace(now.vitals, worked_at=at))


def find_hibernation_time(workspace: Workspace, reported_work: datetime | None, now: datetime) -> datetime | None:
    """Return when the workspace will have been idle for long enough, if it has no work until then.

    `reported_work` is the last work of which a proxy knows. `None` if the workspace does not hibernate by itself now.
    """
    if not workspace.hibernates_when_idle or workspace.status not in ONLINE_STATUSES:
        return None
    known = [at for at in (workspace.vitals.worked_at, reported_work) if at is not None]
    last_work = now if workspace.vitals.active_tasks else max(known, default=workspace.status_since)
    return last_work + timedelta(minutes=workspace.hibernation_idle_minutes or 0)


def are_all_heard(reporters: Sequence[WorkReporter], now: datetime) -> bool:
    """Whether there is a proxy, and every one of them has reported lately."""
    return bool(reporters) and all(now - reporter.reported_at <= REPORTER_TIMEOUT for reporter in reporters)


def judge_check(
    workspace: Workspace, reporters: Sequence[WorkReporter], reported_work: datetime | None, now: datetime
) -> Verdict:
    """Decide the check of a locked workspace.

    A proxy that has seen its present revision gives it no messages any more, and has reported those that it gave to it
    before. `reporters` have to be read before `reported_work`.
    """
    if workspace.idle_check_at is None:
        return Verdict.WAITING
    due = find_hibernation_time(workspace, reported_work, now)
    if due is None or due > now:
        return Verdict.BUSY
    has_answers = are_all_heard(reporters, now)
    if has_answers and all(reporter.seen_revision >= workspace.revision for reporter in reporters):
        return Verdict.IDLE
    return Verdict.UNANSWERED if now - workspace.idle_check_at >= CHECK_TIMEOUT else Verdict.WAITING
