"""`molecule events`: prints past and live events, one on each line."""

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molecule_cli import agent_message, terminal, workspaces

if TYPE_CHECKING:
    from molecule_cli.plane_client import PlaneClient

RECONNECT_SECONDS = 1.0
"""Seconds between a lost connection and the next one."""

SHOWN_MEMBERS = ("status_reason", "error", "current_task", "summary", "message", "method", "decision", "status")
"""Members of a payload that a line may show; it shows the first one that has a value."""

MAX_VALUE_LENGTH = 100
"""Characters of the value that a line shows."""


def events(
    workspace: Annotated[str | None, typer.Argument(help="Name or id of a workspace; all if left out.")] = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Also show new events, until Ctrl-C.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many past events.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print each event as JSON.")] = False,
) -> None:
    """Show what happened in the plane, or in a workspace."""
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        workspace_id = workspaces.find_workspace(plane, workspace) if workspace else ""
        names = {workspace_id: workspace} if workspace else workspaces.read_names(plane)
        past = list(reversed(plane.request("GET", f"/events/{workspace_id}".rstrip("/"), query={"limit": limit})))
        for event in past:
            _print_event(event, names, as_json=as_json)
        if follow:
            last = past[-1]["event_id"] if past else None
            for event in _follow_events(plane, workspace_id, last):
                _print_event(event, names, as_json=as_json)


def format_event(event: dict[str, Any], names: dict[str, str]) -> str:
    """Format an event as one line: time, type, workspace and detail."""
    payload = event["payload"] if isinstance(event["payload"], dict) else {}
    if event["event_type"] == agent_message.EVENT_TYPE:
        detail = agent_message.read_message(payload) or ""
    else:
        detail = next((payload[key] for key in SHOWN_MEMBERS if payload.get(key)), "")
    name = names.get(event["workspace_id"], event["workspace_id"]) or "-"
    detail = " ".join(str(detail).split())[:MAX_VALUE_LENGTH]
    return f"{event['created_at'][:19].replace('T', ' ')}  {event['event_type']:<28}{name}  {detail}".rstrip()


def _print_event(event: dict[str, Any], names: dict[str, str], *, as_json: bool) -> None:
    is_empty = event["event_type"] == agent_message.EVENT_TYPE and not agent_message.read_message(event["payload"])
    if is_empty and not as_json:
        return
    terminal.print_line(json.dumps(event) if as_json else format_event(event, names))


def _follow_events(plane: "PlaneClient", workspace_id: str, last: int | None) -> Iterator[dict[str, Any]]:
    """Yield live events and reconnect after each loss; no event that the plane stores is missed."""
    from molecule_cli import event_source

    while True:
        try:
            for event in event_source.follow_events(plane, workspace_id, last):
                last = event.get("event_id", last)
                yield event
                if workspace_id and event["event_type"] == "WORKSPACE_REMOVED":
                    return
        except event_source.ConnectionLost:
            pass
        except event_source.EventsExpired:
            terminal.print_line("the events since the connection was lost are no longer stored", to_stderr=True)
            last = None
        time.sleep(RECONNECT_SECONDS)
