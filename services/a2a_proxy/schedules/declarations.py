"""Decides what the schedules that a template, an organisation file or a bundle declares change in a workspace.

A declaration is applied once. What a caller has changed since stays as the caller made it, and what a caller has
deleted stays deleted; only another declaration, which comes with another template, is applied again.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256

from services.a2a_proxy.errors import InvalidSchedule
from services.a2a_proxy.model import DeclaredSchedule, WorkspaceId
from services.a2a_proxy.schedules import rules
from services.a2a_proxy.schedules.rules import RunStatus, Schedule, ScheduleDraft, ScheduleSource
from services.chassis import strict_json


@dataclass(frozen=True, slots=True)
class DeclarationChanges:
    """The schedules to insert, to replace and to delete, and the names of those that cannot be stored."""

    created: list[Schedule] = field(default_factory=list)
    updated: list[Schedule] = field(default_factory=list)
    deleted: list[Schedule] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)


def compute_digest(declared: Sequence[DeclaredSchedule]) -> str:
    """Return a text that differs for different declarations; empty for none."""
    if not declared:
        return ""
    listed = [[one.name, one.cron_expr, one.prompt, one.timezone, one.enabled] for one in declared]
    return sha256(strict_json.dump(listed)).hexdigest()


def plan_changes(
    workspace_id: WorkspaceId,
    declared: Iterable[DeclaredSchedule],
    existing: Sequence[Schedule],
    *,
    now: datetime,
    ids: Iterator[str],
) -> DeclarationChanges:
    """Return what a declaration changes; `ids` are those of new schedules.

    A schedule with the name of a declared one stays if a caller made or changed it. One that the template declared
    before and does not declare any more is deleted, unless a caller has changed it.
    """
    changes = DeclarationChanges()
    by_name = {schedule.name: schedule for schedule in existing}
    wanted: dict[str, DeclaredSchedule] = {}
    for one in declared:
        if one.name in wanted or not _can_be_stored(one):
            changes.ignored.append(one.name[: rules.MAX_NAME_BYTES])
        else:
            wanted[one.name] = one
    changes.deleted.extend(schedule for schedule in existing if _follows(schedule) and schedule.name not in wanted)
    room = rules.MAX_SCHEDULES_PER_WORKSPACE - len(existing) + len(changes.deleted)
    for name, one in wanted.items():
        known = by_name.get(name)
        if known is None and len(changes.created) >= room:
            changes.ignored.append(name)
        elif known is None:
            changes.created.append(_build(one, schedule_id=next(ids), workspace_id=workspace_id, now=now))
        elif _follows(known):
            changes.updated.append(_update(known, one, now))
    return changes


def _follows(schedule: Schedule) -> bool:
    """Whether a schedule still belongs to the template."""
    return schedule.source is ScheduleSource.TEMPLATE and not schedule.edited


def _can_be_stored(one: DeclaredSchedule) -> bool:
    return not rules.INVISIBLE_CHARS.search(one.name) and len(one.name.encode()) <= rules.MAX_NAME_BYTES


def _build(one: DeclaredSchedule, *, schedule_id: str, workspace_id: WorkspaceId, now: datetime) -> Schedule:
    """Return a declared schedule. One that is not valid is disabled, and its error says why."""
    draft = ScheduleDraft(
        name=one.name, cron_expr=one.cron_expr, prompt=one.prompt, timezone=one.timezone, enabled=one.enabled
    )
    source = ScheduleSource.TEMPLATE
    try:
        return rules.build_schedule(draft, schedule_id=schedule_id, workspace_id=workspace_id, now=now, source=source)
    except InvalidSchedule as error:
        return Schedule(
            id=schedule_id,
            workspace_id=workspace_id,
            name=one.name,
            cron_expr=_cut(one.cron_expr),
            prompt="" if len(one.prompt) > rules.MAX_PROMPT_BYTES else _cut(one.prompt, rules.MAX_PROMPT_BYTES),
            timezone=_cut(one.timezone),
            enabled=False,
            source=source,
            last_status=RunStatus.ERROR,
            last_error=rules.describe_invalid(error),
            created_at=now,
            updated_at=now,
        )


def _update(known: Schedule, one: DeclaredSchedule, now: datetime) -> Schedule:
    """Return a known schedule as it is declared now, with what is known of its runs."""
    fresh = _build(one, schedule_id=known.id, workspace_id=known.workspace_id, now=now)
    is_same_timing = all(getattr(fresh, name) == getattr(known, name) for name in rules.TIMING_FIELDS)
    was_invalid = known.last_status is RunStatus.ERROR and not known.run_count
    return replace(
        fresh,
        created_at=known.created_at,
        next_run_at=known.next_run_at if is_same_timing else fresh.next_run_at,
        interval=known.interval if is_same_timing else fresh.interval,
        last_run_at=known.last_run_at,
        run_count=known.run_count,
        empty_answers=known.empty_answers,
        last_status=fresh.last_status or (None if was_invalid else known.last_status),
        last_error=fresh.last_error or ("" if was_invalid else known.last_error),
    )


def _cut(text: str, limit: int = rules.MAX_NAME_BYTES) -> str:
    """Return a text that can be stored: short, and without NUL."""
    return text.replace("\0", "")[:limit]
