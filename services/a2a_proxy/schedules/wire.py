"""Converts schedules between protobuf and the model."""

from collections.abc import Mapping
from typing import Any

from protos.a2a_proxy.v1 import schedules_pb2 as pb
from services.a2a_proxy.errors import InvalidSchedule
from services.a2a_proxy.schedules import rules
from services.a2a_proxy.schedules.rules import Run, Schedule, ScheduleDraft
from services.a2a_proxy.schedules.service import ScheduleHealth
from services.chassis.timestamps import timestamp_from_datetime


def draft_from_request(request: pb.CreateScheduleRequest) -> ScheduleDraft:
    """Return the schedule to create, unchecked."""
    return ScheduleDraft(
        name=request.name,
        cron_expr=request.cron_expr,
        prompt=request.prompt,
        timezone=request.timezone,
        enabled=request.enabled,
    )


def changes_from_request(request: pb.UpdateScheduleRequest) -> Mapping[str, Any]:
    """Return the fields to change by name; raises `InvalidSchedule`."""
    paths = request.update_mask.paths
    if not paths and not request.allow_empty_mask:
        raise InvalidSchedule("invalid value for field: update_mask")
    if unknown := sorted(set(paths) - rules.CHANGEABLE_FIELDS):
        raise InvalidSchedule(f"invalid value for field: {unknown[0]}")
    return {path: getattr(request.schedule, path) for path in paths}


def schedule_to_proto(schedule: Schedule) -> pb.Schedule:
    """Return a schedule."""
    return pb.Schedule(
        id=schedule.id,
        workspace_id=schedule.workspace_id,
        name=schedule.name,
        cron_expr=schedule.cron_expr,
        timezone=schedule.timezone,
        prompt=schedule.prompt,
        enabled=schedule.enabled,
        last_run_at=None if schedule.last_run_at is None else timestamp_from_datetime(schedule.last_run_at),
        next_run_at=None if schedule.next_run_at is None else timestamp_from_datetime(schedule.next_run_at),
        run_count=schedule.run_count,
        last_status=schedule.last_status or "",
        last_error=schedule.last_error,
        source=schedule.source,
        created_at=timestamp_from_datetime(schedule.created_at),
        updated_at=timestamp_from_datetime(schedule.updated_at),
    )


def run_to_proto(run: Run) -> pb.ScheduleRun:
    """Return a run."""
    return pb.ScheduleRun(
        at=timestamp_from_datetime(run.started_at),
        duration_ms=run.duration_ms,
        status=run.status or "",
        error_detail=run.error_detail,
        schedule_name=run.schedule_name,
        cron_expr=run.cron_expr,
        prompt=run.prompt,
    )


def health_to_proto(health: ScheduleHealth) -> pb.ScheduleHealth:
    """Return whether a schedule runs as often as it should."""
    schedule = health.schedule
    return pb.ScheduleHealth(
        workspace_id=schedule.workspace_id,
        workspace_name=health.workspace_name,
        schedule_id=schedule.id,
        schedule_name=schedule.name,
        cron_expr=schedule.cron_expr,
        last_run_at=None if schedule.last_run_at is None else timestamp_from_datetime(schedule.last_run_at),
        expected_next_run=None if schedule.next_run_at is None else timestamp_from_datetime(schedule.next_run_at),
        status=health.status,
        stale_threshold_seconds=int(rules.find_threshold(schedule).total_seconds()),
    )
