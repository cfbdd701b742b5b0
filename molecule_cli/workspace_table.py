"""Builds the table of `molecule status`: the tree of workspaces with status, age and cause. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from molecule_cli.tables import Cell, Column, Row

COLUMNS = (
    Column("WORKSPACE", flexible=True),
    Column("STATUS"),
    Column("SINCE"),
    Column("RESTARTS"),
    Column("CAUSE", flexible=True),
    Column("ID", optional=True),
)

LIVE_COLUMNS = (
    Column("WORKSPACE", flexible=True),
    Column("STATUS"),
    Column("SINCE"),
    Column("TASKS"),
    Column("NOW", flexible=True),
)
"""The columns of a table that fits a terminal of 80 columns."""

COLOURS = {"online": "green", "degraded": "yellow", "provisioning": "cyan", "failed": "red", "offline": "red"}

QUIET_STATUSES = frozenset({"online", "paused", "hibernated"})
"""Statuses whose last exit explains nothing."""


def build_rows(workspaces: Sequence[Mapping[str, Any]], *, now: datetime) -> Iterator[Row]:
    """Yield one row for each workspace, with members below their lead."""
    for depth, workspace in _walk_tree(workspaces):
        status = str(workspace["status"])
        yield (
            "  " * depth + str(workspace["name"]),
            Cell(status, COLOURS.get(status, "")),
            format_age(workspace.get("status_since"), now=now),
            str(workspace.get("restart_count") or ""),
            describe_cause(workspace, now=now),
            str(workspace["id"]),
        )


def build_live_rows(workspaces: Sequence[Mapping[str, Any]], *, now: datetime) -> Iterator[Row]:
    """Yield one row for each workspace with what it does now, or why it does not run."""
    for depth, workspace in _walk_tree(workspaces):
        status = str(workspace["status"])
        is_fine = status in QUIET_STATUSES
        yield (
            "  " * depth + str(workspace["name"]),
            Cell(status, COLOURS.get(status, "")),
            format_age(workspace.get("status_since"), now=now),
            str(workspace.get("active_tasks") or ""),
            str(workspace.get("current_task") or ("" if is_fine else describe_cause(workspace, now=now))),
        )


DETAIL_MEMBERS = {
    "role": "role",
    "runtime": "runtime",
    "model": "model",
    "tier": "tier",
    "delivery": "delivery_mode",
    "address": "url",
    "task": "current_task",
    "working on": "active_tasks",
    "max tasks": "max_concurrent_tasks",
    "idle minutes": "hibernation_idle_minutes",
    "directory": "workspace_dir",
    "restarts": "restart_count",
}
"""Labels and members of a workspace that are shown as they are, if they have a value."""


def describe_workspace(
    workspace: Mapping[str, Any], names: Mapping[str, str], *, now: datetime
) -> Iterator[tuple[str, str]]:
    """Yield a label and a value for each fact about a workspace."""
    yield "name", str(workspace["name"])
    yield "id", str(workspace["id"])
    if parent_id := workspace.get("parent_id"):
        yield "below", f"{names.get(parent_id, '')} {parent_id}".strip()
    age = format_age(workspace.get("status_since"), now=now)
    yield "status", f"{workspace['status']}{f' for {age}' if age else ''}"
    if cause := describe_cause(workspace, now=now):
        yield "cause", cause
    yield from _describe_start(workspace.get("provisioning"))
    for label, member in DETAIL_MEMBERS.items():
        if workspace.get(member):
            yield label, str(workspace[member])


def _describe_start(provisioning: object) -> Iterator[tuple[str, str]]:
    """Yield what the start of an instance waits for, and the last events of the backend."""
    if not isinstance(provisioning, dict):
        return
    yield "start", str(provisioning.get("text") or provisioning.get("step"))
    for label, member in (("deadline", "deadline"), ("next attempt", "next_attempt_at")):
        if provisioning.get(member):
            yield label, f"{str(provisioning[member])[:19]}Z"
    if missing := provisioning.get("missing"):
        yield "missing", ", ".join(str(name) for name in missing)
    for event in provisioning.get("events") or []:
        yield "event", f"{str(event.get('at'))[:19]}Z {event.get('text')}"


def describe_cause(workspace: Mapping[str, Any], *, now: datetime) -> str:
    """Return why a workspace has its status, and the last exit.

    The cause is where its start stands, else the sentence of the plane, else its code.
    """
    reason = _describe_place(workspace) or str(workspace.get("status_detail") or workspace.get("status_reason") or "")
    last_exit = workspace.get("last_exit")
    if not isinstance(last_exit, dict) or workspace.get("status") in QUIET_STATUSES:
        return reason
    text = _describe_exit(last_exit, reason, now=now)
    if reason.endswith("."):
        return f"{reason} {text[0].upper()}{text[1:].removesuffix('.')}."
    return f"{reason}; {text}" if reason else text


def format_age(since: str | None, *, now: datetime) -> str:
    """Format the age of a time in its largest unit."""
    if not since:
        return ""
    span = max(now - datetime.fromisoformat(since).astimezone(UTC), timedelta())
    for seconds, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if span.total_seconds() >= seconds:
            return f"{int(span.total_seconds() // seconds)}{unit}"
    return f"{int(span.total_seconds())}s"


def _describe_place(workspace: Mapping[str, Any]) -> str:
    """Return the step of a start that is under way, and its place among those that wait; empty otherwise."""
    start = workspace.get("provisioning")
    if not isinstance(start, dict) or workspace.get("status") != "provisioning":
        return ""
    position = start.get("position")
    place = f" Place {position} in the queue." if isinstance(position, int) and position > 0 else ""
    return f"{start.get('text') or ''}{place}"


def _describe_exit(last_exit: dict[str, Any], reason: str, *, now: datetime) -> str:
    """Return how and when the instance ended last, without what the reason says already."""
    signal, code = last_exit.get("signal"), last_exit.get("code")
    cause = f"signal {signal}" if signal else "exit" if code is None else f"exit code {code}"
    age = format_age(last_exit.get("at"), now=now)
    text = " ".join(str(last_exit.get("text") or "").split())
    is_told = text in {"", cause} or text in reason
    shown = "exit" if cause in reason else cause
    return f"last {shown}{f' {age} ago' if age else ''}{'' if is_told else f': {text}'}"


def _walk_tree(workspaces: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield each workspace with its depth, parents first. One whose parent is not in the list counts as a root."""
    ids = {workspace["id"] for workspace in workspaces}
    members: dict[str | None, list[Mapping[str, Any]]] = {}
    for workspace in workspaces:
        parent_id = workspace.get("parent_id")
        members.setdefault(parent_id if parent_id in ids else None, []).append(workspace)
    waiting = [(0, workspace) for workspace in reversed(members.get(None, []))]
    while waiting:
        depth, workspace = waiting.pop()
        yield depth, workspace
        waiting.extend((depth + 1, member) for member in reversed(members.get(workspace["id"], [])))
