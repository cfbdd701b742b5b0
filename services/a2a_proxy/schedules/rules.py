"""Rules of schedules: which are valid, and what becomes of one that is due or has run (docs/spec/rest.md, 6.11)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from services.a2a_proxy.errors import InvalidSchedule
from services.a2a_proxy.model import Activity, JsonObject, StoredEvent, StoredEventType, WorkspaceId
from services.a2a_proxy.schedules import cron
from services.chassis import strict_json

MAX_SCHEDULES_PER_WORKSPACE = 100

MAX_PROMPT_BYTES = 64 * 1024

INVISIBLE_CHARS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
"""Not allowed in names: they control terminals and pages, end lines, reorder text or cannot be seen."""

MAX_NAME_BYTES = 200

MAX_RUNS_PER_SCHEDULE = 20
"""Runs of a schedule that are kept."""

MAX_PROMPT_CHARACTERS_PER_RUN = 1000
"""Characters of the longest prompt that is kept with a run."""

CHANGEABLE_FIELDS = frozenset({"name", "cron_expr", "timezone", "prompt", "enabled"})

TIMING_FIELDS = frozenset({"cron_expr", "timezone", "enabled"})
"""The fields on which the next time depends."""

CAPACITY_WAIT = timedelta(minutes=2)
"""Time for which a run waits for a workspace that has no room."""

MAX_LATENESS = timedelta(hours=1)
"""Age of a missed time from which it is skipped."""

EMPTY_ANSWERS_UNTIL_STALE = 3

BUSY_TEXT = "workspace busy: at max_concurrent_tasks for 2 minutes"

OVERLAP_TEXT = "the run before has not ended"

INTERRUPTED_TEXT = "interrupted: the plane stopped during the run, and the agent may have received the prompt"


class ScheduleSource(StrEnum):
    """Who made a schedule: a caller of the API, or the template of the workspace."""

    RUNTIME = "runtime"
    TEMPLATE = "template"


class RunStatus(StrEnum):
    """How a run ended. `stale` is an empty answer after at least two others."""

    OK = "ok"
    ERROR = "error"
    SKIPPED = "skipped"
    STALE = "stale"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A prompt that a workspace receives at the times of a cron expression; without `next_run_at` it is not due."""

    id: str
    workspace_id: WorkspaceId
    name: str
    cron_expr: str
    prompt: str
    created_at: datetime
    updated_at: datetime
    timezone: str = "UTC"
    enabled: bool = True
    source: ScheduleSource = ScheduleSource.RUNTIME
    edited: bool = False
    """Whether a caller has changed a schedule of a template."""
    next_run_at: datetime | None = None
    interval: timedelta = timedelta()
    """The longer one of the intervals before and after `next_run_at`."""
    last_run_at: datetime | None = None
    run_count: int = 0
    last_status: RunStatus | None = None
    last_error: str = ""
    empty_answers: int = 0
    """Empty answers in a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleDraft:
    """A schedule to create, as the caller sent it."""

    name: str
    cron_expr: str
    prompt: str
    timezone: str = "UTC"
    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class DueSchedule:
    """What a decision about a due schedule needs; `due_at` is the time for which it waits."""

    id: str
    workspace_id: WorkspaceId
    cron_expr: str
    timezone: str
    due_at: datetime


class Action(StrEnum):
    """What happens to a due schedule."""

    FIRE = "fire"
    SKIP = "skip"
    """Recorded as skipped."""
    LEAVE = "leave"
    """Not recorded: the agent has a scheduler of its own."""
    WAIT = "wait"
    """Looked at again in the next tick."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The action for a due schedule, the time that it is about, and when the schedule is due again."""

    action: Action
    scheduled_at: datetime
    next_run_at: datetime | None
    interval: timedelta
    reason: str = ""
    """Why it is skipped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One time at which a schedule fired or was skipped; without a status it lasts."""

    id: str
    schedule_id: str
    workspace_id: WorkspaceId
    schedule_name: str
    cron_expr: str
    scheduled_at: datetime
    started_at: datetime
    prompt: str | None = None
    status: RunStatus | None = None
    duration_ms: int | None = None
    error_detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """What came of a message: whether it was accepted or answered, a public text, and whether the answer was empty."""

    is_ok: bool
    detail: str = ""
    is_empty: bool = False


def build_schedule(
    draft: ScheduleDraft, *, schedule_id: str, workspace_id: WorkspaceId, now: datetime, source: ScheduleSource
) -> Schedule:
    """Return a new schedule; raises `InvalidSchedule`."""
    schedule = Schedule(
        id=schedule_id,
        workspace_id=workspace_id,
        name=draft.name,
        cron_expr=draft.cron_expr,
        prompt=draft.prompt.replace("\r", ""),
        timezone=draft.timezone or "UTC",
        enabled=draft.enabled,
        source=source,
        created_at=now,
        updated_at=now,
    )
    check_schedule(schedule)
    return plan_next(schedule, now)


def apply_changes(schedule: Schedule, changes: Mapping[str, Any], now: datetime) -> Schedule:
    """Return the schedule with changed fields; raises `InvalidSchedule`.

    Its next time changes only if a field changes on which it depends. A schedule of a template counts as edited.
    """
    if unknown := sorted(changes.keys() - CHANGEABLE_FIELDS):
        raise InvalidSchedule(f"invalid value for field: {unknown[0]}")
    if "prompt" in changes:
        changes = {**changes, "prompt": changes["prompt"].replace("\r", "")}
    changed = replace(schedule, **changes, updated_at=now, edited=schedule.source is ScheduleSource.TEMPLATE)
    check_schedule(changed)
    if all(getattr(changed, name) == getattr(schedule, name) for name in TIMING_FIELDS):
        return changed
    return plan_next(changed, now)


def check_schedule(schedule: Schedule) -> None:
    """Raise `InvalidSchedule` if a field is not valid."""
    if not schedule.cron_expr.strip() or not schedule.prompt.strip():
        raise InvalidSchedule("cron_expr and prompt are required")
    if len(schedule.name.encode()) > MAX_NAME_BYTES:
        raise InvalidSchedule(f"name must be <= {MAX_NAME_BYTES} bytes")
    if INVISIBLE_CHARS.search(schedule.name) or "\0" in schedule.prompt:
        raise InvalidSchedule("name must not contain control characters")
    if len(schedule.prompt.encode()) > MAX_PROMPT_BYTES:
        raise InvalidSchedule(f"prompt must be <= {MAX_PROMPT_BYTES} bytes")
    cron.check_expression(schedule.cron_expr, schedule.timezone)


def plan_next(schedule: Schedule, now: datetime) -> Schedule:
    """Return the schedule with its next time after `now`, or with none while it is disabled."""
    if not schedule.enabled:
        return replace(schedule, next_run_at=None)
    next_run_at = cron.find_next(schedule.cron_expr, schedule.timezone, now)
    interval = cron.find_interval(schedule.cron_expr, schedule.timezone, now)
    return replace(schedule, next_run_at=next_run_at, interval=interval)


def plan_run(due: DueSchedule, now: datetime, *, is_native: bool, has_room: bool, is_running: bool) -> Plan:
    """Decide what happens to a schedule that is due.

    Of several times that were missed only the last one counts; it fires if it is less than `MAX_LATENESS` ago. A run
    waits for `CAPACITY_WAIT` while the workspace has no room, or while the run before lasts.
    """
    try:
        scheduled_at = cron.find_last(due.cron_expr, due.timezone, since=due.due_at, until=now)
        next_run_at = cron.find_next(due.cron_expr, due.timezone, now)
        interval = cron.find_interval(due.cron_expr, due.timezone, scheduled_at)
    except InvalidSchedule as error:  # the time zone database has changed
        return Plan(
            action=Action.SKIP,
            scheduled_at=due.due_at,
            next_run_at=None,
            interval=timedelta(),
            reason=describe_invalid(error),
        )
    plan = Plan(action=Action.FIRE, scheduled_at=scheduled_at, next_run_at=next_run_at, interval=interval)
    late = now - scheduled_at
    if is_native:
        return replace(plan, action=Action.LEAVE)
    if late >= MAX_LATENESS:
        missed = scheduled_at.isoformat(timespec="seconds").replace("+00:00", "Z")
        return replace(plan, action=Action.SKIP, reason=f"missed: the plane was not running at {missed}")
    if has_room and not is_running:
        return plan
    if now - due.due_at < CAPACITY_WAIT:
        return replace(plan, action=Action.WAIT)
    return replace(plan, action=Action.SKIP, reason=OVERLAP_TEXT if is_running else BUSY_TEXT)


def leave_to_agent(schedule: Schedule, plan: Plan, now: datetime) -> Schedule:
    """Return a schedule that the agent fires itself, as if it had run."""
    return replace(schedule, next_run_at=plan.next_run_at, interval=plan.interval, last_run_at=now)


def start_run(schedule: Schedule, plan: Plan, *, run_id: str, now: datetime) -> tuple[Schedule, Run]:
    """Return a schedule that was claimed for a plan, and its run: one that lasts, or a skipped one."""
    skipped = plan.action is Action.SKIP
    claimed = replace(
        schedule,
        next_run_at=plan.next_run_at,
        interval=plan.interval,
        last_run_at=now,
        last_status=RunStatus.SKIPPED if skipped else schedule.last_status,
        last_error=plan.reason if skipped else schedule.last_error,
    )
    run = Run(
        id=run_id,
        schedule_id=schedule.id,
        workspace_id=schedule.workspace_id,
        schedule_name=schedule.name,
        cron_expr=schedule.cron_expr,
        scheduled_at=plan.scheduled_at,
        started_at=now,
        prompt=schedule.prompt if len(schedule.prompt) <= MAX_PROMPT_CHARACTERS_PER_RUN else None,
        status=RunStatus.SKIPPED if skipped else None,
        error_detail=plan.reason,
    )
    return claimed, run


def finish_run(schedule: Schedule, run: Run, outcome: RunOutcome, duration: timedelta) -> tuple[Schedule, Run]:
    """Return a schedule and its run after the outcome."""
    empty_answers = schedule.empty_answers + 1 if outcome.is_empty else 0
    status = RunStatus.OK if outcome.is_ok else RunStatus.ERROR
    if outcome.is_ok and empty_answers >= EMPTY_ANSWERS_UNTIL_STALE:
        status = RunStatus.STALE
    finished = replace(
        schedule,
        run_count=schedule.run_count + 1,
        last_status=status,
        last_error="" if outcome.is_ok else outcome.detail,
        empty_answers=empty_answers,
    )
    milliseconds = round(duration.total_seconds() * 1000)
    return finished, replace(run, status=status, duration_ms=milliseconds, error_detail=outcome.detail)


def build_event(run: Run, *, event_id: str) -> StoredEvent:
    """Return the event of a run that has ended."""
    about: JsonObject = {"schedule_id": run.schedule_id, "schedule_name": run.schedule_name}
    if run.status is RunStatus.SKIPPED:
        kind, payload = StoredEventType.CRON_SKIPPED, about | {"reason": run.error_detail}
    else:
        kind, payload = StoredEventType.CRON_EXECUTED, about | {"status": str(run.status)}
    return StoredEvent(id=event_id, type=kind, workspace_id=run.workspace_id, payload=payload)


def build_activity(run: Run) -> Activity:
    """Return the row of the activity log for a run that has ended."""
    is_ok = run.status in {RunStatus.OK, RunStatus.STALE}
    return Activity(
        id=run.id,
        workspace_id=run.workspace_id,
        activity_type="cron_run",
        target_id=run.workspace_id,
        method="message/send",
        summary=f"Schedule {run.schedule_name}" if run.schedule_name else "Schedule",
        status="ok" if is_ok else "error",
        duration_ms=run.duration_ms,
        error_detail=run.error_detail or None,
        request_body=strict_json.dump(describe_request(run)).decode(),
        created_at=run.started_at,
    )


def describe_request(run: Run) -> JsonObject:
    """Return what a run was about, as the activity log and the history show it."""
    about: JsonObject = {
        "schedule_id": run.schedule_id,
        "schedule_name": run.schedule_name,
        "cron_expr": run.cron_expr,
    }
    if run.prompt is not None:
        about["prompt"] = run.prompt
    if run.status is RunStatus.SKIPPED:
        about["skipped"] = True
    return about


class Punctuality(StrEnum):
    """Whether a schedule runs as often as it should."""

    OK = "ok"
    STALE = "stale"
    NEVER_RUN = "never_run"


def judge_punctuality(schedule: Schedule, now: datetime) -> Punctuality:
    """Return whether an enabled schedule ran within its threshold; a disabled one is not late."""
    if schedule.last_run_at is None:
        return Punctuality.NEVER_RUN
    is_late = schedule.next_run_at is not None and now - schedule.last_run_at > find_threshold(schedule)
    return Punctuality.STALE if is_late else Punctuality.OK


def find_threshold(schedule: Schedule) -> timedelta:
    """Return the time without a run from which a schedule is stale."""
    return 2 * schedule.interval


def describe_invalid(error: InvalidSchedule) -> str:
    """Return the text that says what is wrong with a schedule."""
    return str(error.details.get("detail", error.message))
