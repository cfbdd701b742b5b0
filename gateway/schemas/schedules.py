"""Schedules: prompts that workspaces receive at the times of cron expressions."""

from typing import Annotated, Literal, NotRequired

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import WithJsonSchema
from typing_extensions import TypedDict

from gateway import json_format
from gateway.schemas.names import DateTime
from gateway.schemas.request_model import RequestModel
from protos.a2a_proxy.v1 import schedules_pb2

ScheduleSourceName = Annotated[str, WithJsonSchema({"type": "string", "enum": ["runtime", "template"]})]

PunctualityName = Annotated[str, WithJsonSchema({"type": "string", "enum": ["ok", "stale", "never_run"]})]


class NewSchedule(RequestModel):
    """Body of POST /workspaces/{id}/schedules."""

    cron_expr: str = ""
    prompt: str = ""
    name: str = ""
    timezone: str = "UTC"
    enabled: bool = True


class ScheduleChanges(RequestModel):
    """Body of PATCH /workspaces/{id}/schedules/{scheduleId}: what is absent stays as it is."""

    name: str = ""
    cron_expr: str = ""
    timezone: str = ""
    prompt: str = ""
    enabled: bool = True


class CreatedSchedule(TypedDict):
    """Answer of a new schedule."""

    id: str
    next_run_at: DateTime | None
    status: Literal["created"]


class ScheduleChangeResult(TypedDict):
    """Answer of a schedule that was changed or deleted."""

    status: Literal["updated", "deleted"]


class ScheduleToRun(TypedDict):
    """The prompt of a schedule, which the caller sends to the workspace."""

    status: Literal["fired"]
    workspace_id: str
    prompt: str


class Schedule(TypedDict):
    """A prompt, and when it is sent."""

    id: str
    workspace_id: str
    name: str
    cron_expr: str
    timezone: str
    prompt: str
    enabled: bool
    last_run_at: DateTime | None
    next_run_at: DateTime | None
    run_count: int
    last_status: str
    last_error: str
    source: ScheduleSourceName
    created_at: DateTime
    updated_at: DateTime


class RunRequest(TypedDict):
    """What a run of a schedule was about."""

    schedule_id: str
    schedule_name: str
    cron_expr: str
    prompt: NotRequired[str]
    skipped: NotRequired[bool]


class ScheduleRun(TypedDict):
    """One time at which a schedule was due."""

    timestamp: DateTime
    duration_ms: int | None
    status: str | None
    error_detail: str
    request: RunRequest


class ScheduleHealth(TypedDict):
    """How a schedule of a workspace runs."""

    id: str
    name: str
    enabled: bool
    last_run_at: DateTime | None
    next_run_at: DateTime | None
    run_count: int
    last_status: str
    last_error: str


class SchedulePunctuality(TypedDict):
    """Whether a schedule runs as often as it should."""

    workspace_id: str
    workspace_name: str
    schedule_id: str
    schedule_name: str
    cron_expr: str
    last_run_at: DateTime | None
    expected_next_run: DateTime | None
    status: PunctualityName
    stale_threshold_seconds: int


def render_created(message: schedules_pb2.Schedule) -> CreatedSchedule:
    """Return the answer of a new schedule."""
    return CreatedSchedule(id=message.id, next_run_at=_find_time(message, "next_run_at"), status="created")


def render_schedule(message: schedules_pb2.Schedule) -> Schedule:
    """Return a schedule."""
    return Schedule(
        id=message.id,
        workspace_id=message.workspace_id,
        name=message.name,
        cron_expr=message.cron_expr,
        timezone=message.timezone,
        prompt=message.prompt,
        enabled=message.enabled,
        last_run_at=_find_time(message, "last_run_at"),
        next_run_at=_find_time(message, "next_run_at"),
        run_count=message.run_count,
        last_status=message.last_status,
        last_error=message.last_error,
        source=message.source,
        created_at=json_format.format_timestamp(message.created_at),
        updated_at=json_format.format_timestamp(message.updated_at),
    )


def render_run(schedule_id: str, message: schedules_pb2.ScheduleRun) -> ScheduleRun:
    """Return a run of a schedule."""
    request = RunRequest(schedule_id=schedule_id, schedule_name=message.schedule_name, cron_expr=message.cron_expr)
    if message.HasField("prompt"):
        request["prompt"] = message.prompt
    if message.status == "skipped":
        request["skipped"] = True
    return ScheduleRun(
        timestamp=json_format.format_timestamp(message.at),
        duration_ms=message.duration_ms if message.HasField("duration_ms") else None,
        status=message.status or None,
        error_detail=message.error_detail,
        request=request,
    )


def render_health(message: schedules_pb2.Schedule) -> ScheduleHealth:
    """Return how a schedule runs."""
    return ScheduleHealth(
        id=message.id,
        name=message.name,
        enabled=message.enabled,
        last_run_at=_find_time(message, "last_run_at"),
        next_run_at=_find_time(message, "next_run_at"),
        run_count=message.run_count,
        last_status=message.last_status,
        last_error=message.last_error,
    )


def render_punctuality(message: schedules_pb2.ScheduleHealth) -> SchedulePunctuality:
    """Return whether a schedule runs as often as it should."""
    return SchedulePunctuality(
        workspace_id=message.workspace_id,
        workspace_name=message.workspace_name,
        schedule_id=message.schedule_id,
        schedule_name=message.schedule_name,
        cron_expr=message.cron_expr,
        last_run_at=_find_time(message, "last_run_at"),
        expected_next_run=_find_time(message, "expected_next_run"),
        status=message.status,
        stale_threshold_seconds=message.stale_threshold_seconds,
    )


def _find_time(message: schedules_pb2.Schedule | schedules_pb2.ScheduleHealth, name: str) -> str | None:
    """Return the time in a field; `None` if the field is absent."""
    stamp: Timestamp = getattr(message, name)
    return json_format.format_timestamp(stamp) if message.HasField(name) else None  # type: ignore[arg-type]
