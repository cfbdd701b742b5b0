"""Builds the table of `molecule status`: the tree of workspaces with status, age and reason."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.markup import escape
from rich.table import Table

COLOURS = {"online": "green", "degraded": "yellow", "provisioning": "cyan", "failed": "red", "offline": "red"}


def build_table(workspaces: list[dict[str, Any]], *, now: datetime) -> Table:
    """Build one row for each workspace, with members below their lead."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("WORKSPACE", "STATUS", "SINCE", "REASON", "ID"):
        table.add_column(heading, no_wrap=heading != "REASON", overflow="fold")
    for depth, workspace in _walk_tree(workspaces, parent=None):
        status = str(workspace["status"])
        table.add_row(
            "  " * depth + escape(str(workspace["name"])),
            f"[{COLOURS.get(status, 'white')}]{status}[/]",
            format_age(workspace.get("status_since"), now=now),
            str(workspace.get("status_reason") or ""),
            str(workspace["id"]),
        )
    return table


def build_plain_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Build a table of texts; only the last column wraps."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, no_wrap=heading is not headings[-1], overflow="fold")
    for row in rows:
        table.add_row(*(escape(text) for text in row))
    return table


def format_age(since: str | None, *, now: datetime) -> str:
    """Format the age of a time in its largest unit."""
    if not since:
        return ""
    span = max(now - datetime.fromisoformat(since).astimezone(UTC), timedelta())
    for seconds, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if span.total_seconds() >= seconds:
            return f"{int(span.total_seconds() // seconds)}{unit}"
    return f"{int(span.total_seconds())}s"


def _walk_tree(workspaces: list[dict[str, Any]], *, parent: str | None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each workspace with its depth. A workspace whose parent is not in the list counts as a root."""
    ids = {workspace["id"] for workspace in workspaces}
    for workspace in workspaces:
        parent_id = workspace.get("parent_id")
        if (parent_id if parent_id in ids else None) == parent:
            yield 0, workspace
            yield from ((depth + 1, member) for depth, member in _walk_tree(workspaces, parent=workspace["id"]))
