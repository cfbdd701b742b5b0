"""`molecule events`: prints past and live events, one on each line."""

import time
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molecule_cli import agent_message, terminal, workspaces
from molecule_cli.output import Output, OutputFormat, print_for_scripts

if TYPE_CHECKING:
    from molecule_cli.plane_client import PlaneClient

RECONNECT_SECONDS = 1.0
"""Seconds between a lost connection and the next one."""

HEARTBEAT = "WORKSPACE_HEARTBEAT"
"""The type of event that is left out unless the user asks for it."""

SHOWN_MEMBERS = ("status_reason", "error", "current_task", "summary", "message", "method", "decision", "status")
"""Members of a payload that a line may show; it shows the first one that has a value."""

MAX_VALUE_LENGTH = 100
"""Characters of the value that a line shows."""


def events(
    workspace: Annotated[str | None, typer.Argument(help="Name or id of a workspace; all if left out.")] = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Also show new events, until Ctrl-C.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many past events.")] = 20,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="PATTERN", help="Only types like this, such as 'WORKSPACE_*'; repeatable."),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", metavar="PATTERN", help="No types like this; repeatable.")
    ] = None,
    heartbeats: Annotated[
        bool, typer.Option("--heartbeats", help="Also show heartbeats, which are many and are not stored.")
    ] = False,
    output: Output = OutputFormat.TABLE,
) -> None:
    """
    Show what happened in the plane, or in a workspace.

    With [bold]-o json[/] each event is one line of JSON, with [bold]-o name[/] its type.
    """
    from molecule_cli import plane_client, settings

    excluded = (*(exclude or ()), *(() if heartbeats or types else (HEARTBEAT,)))

    with plane_client.open_plane(settings.load_settings()) as plane:
        workspace_id = workspaces.find_workspace(plane, workspace) if workspace else ""
        names = {workspace_id: workspace} if workspace else workspaces.read_names(plane)
        past = list(reversed(plane.request("GET", f"/events/{workspace_id}".rstrip("/"), query={"limit": limit})))
        for event in past:
            if is_shown(event["event_type"], types or ("*",), excluded):
                _print_event(event, names, output)
        if follow:
            last = past[-1]["event_id"] if past else None
            for event in _follow_events(plane, workspace_id, last):
                if is_shown(event["event_type"], types or ("*",), excluded):
                    _print_event(event, names, output)


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


def is_shown(event_type: str, included: Iterable[str], excluded: Iterable[str]) -> bool:
    """Whether an event is shown: it is like one of the included patterns of the shell, and like no excluded one."""
    return any(fnmatchcase(event_type, pattern.upper()) for pattern in included) and not any(
        fnmatchcase(event_type, pattern.upper()) for pattern in excluded
    )


def _print_event(event: dict[str, Any], names: dict[str, str], output: OutputFormat) -> None:
    is_empty = event["event_type"] == agent_message.EVENT_TYPE and not agent_message.read_message(event["payload"])
    if not print_for_scripts(output, event, [event["event_type"]]) and not is_empty:
        terminal.print_line(format_event(event, names))


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
