"""Builds the tables of `molecule schedules`: schedules, their runs and their health. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from molecule_cli.tables import Cell, Column, Row

SCHEDULE_COLUMNS = (
    Column("NAME", flexible=True),
    Column("CRON", flexible=True),
    Column("ZONE", flexible=True),
    Column("NEXT"),
    Column("RESULT"),
)

RUN_COLUMNS = (Column("AT"), Column("STATUS"), Column("TOOK"), Column("ERROR", flexible=True))

HEALTH_COLUMNS = (
    Column("NAME", flexible=True),
    Column("LAST"),
    Column("RESULT"),
    Column("ERROR", flexible=True),
)

PUNCTUALITY_COLUMNS = (
    Column("WORKSPACE", flexible=True),
    Column("SCHEDULE", flexible=True),
    Column("STATUS"),
    Column("LAST"),
    Column("NEXT"),
)

DISABLED = "disabled"
"""Shown in place of the result or the next time of a schedule that is not enabled."""

COLOURS = {"ok": "green", "error": "red", "stale": "red", "skipped": "yellow"}

FAILURES = frozenset({"error", "stale"})
"""Results of the last run that an operator must look at."""


def build_schedule_rows(schedules: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    """Yield one row for each schedule; one without a name is shown with its id."""
    for one in schedules:
        yield (
            one["name"] or one["id"],
            one["cron_expr"],
            one["timezone"],
            _format_minute(one["next_run_at"]) if one["enabled"] else DISABLED,
            _build_result(one["last_status"]),
        )


def describe_schedule(schedule: Mapping[str, Any]) -> Iterator[str]:
    """Yield one line for each fact about a schedule but its prompt."""
    result = schedule["last_status"] or "none yet"
    error = f": {schedule['last_error']}" if schedule["last_error"] else ""
    yield f"schedule  {schedule['id']}"
    yield f"name      {schedule['name']}"
    yield f"cron      {schedule['cron_expr']} ({schedule['timezone']})"
    yield f"enabled   {_format_flag(schedule['enabled'])}"
    yield f"source    {schedule['source']}"
    yield f"next      {_format_time(schedule['next_run_at'])}"
    yield f"last      {_format_time(schedule['last_run_at'])}"
    yield f"result    {result}{error}"
    yield f"runs      {schedule['run_count']}"


def build_run_rows(runs: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    """Yield one row for each run, in the order given."""
    for run in runs:
        took = "" if run["duration_ms"] is None else f"{run['duration_ms'] / 1000:.1f}s"
        yield run["timestamp"][:19], _build_result(run["status"] or "running"), took, run["error_detail"]


def build_health_rows(schedules: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    """Yield one row for each schedule of one workspace."""
    for one in schedules:
        yield (
            one["name"] or one["id"],
            _format_minute(one["last_run_at"]),
            _build_result(one["last_status"] if one["enabled"] else DISABLED),
            one["last_error"],
        )


def build_punctuality_rows(schedules: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    """Yield one row for each schedule of all workspaces; one that is disabled has no next time."""
    for one in schedules:
        yield (
            one["workspace_name"],
            one["schedule_name"] or one["schedule_id"],
            _build_result(one["status"] if one["expected_next_run"] else DISABLED),
            _format_minute(one["last_run_at"]),
            _format_minute(one["expected_next_run"]),
        )


def is_unhealthy(schedule: Mapping[str, Any]) -> bool:
    """Whether a schedule, in either list of health, runs too rarely or failed last."""
    if "last_status" in schedule:
        return bool(schedule["enabled"]) and schedule["last_status"] in FAILURES
    return bool(schedule["status"] == "stale")


def _build_result(status: str) -> Cell:
    return Cell(status, COLOURS.get(status, ""))


def _format_flag(flag: object) -> str:
    return "yes" if flag else "no"


def _format_time(time: str | None) -> str:
    return f"{time[:19]}Z" if time else "-"


def _format_minute(time: str | None) -> str:
    return f"{time[:16]}Z" if time else "-"
