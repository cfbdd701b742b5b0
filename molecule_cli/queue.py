"""`molecule queue`: shows accepted messages, and lets an operator decide about those that were not delivered."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote

import typer

from molecule_cli import queue_tables, terminal, workspaces
from molecule_cli.choices import check_choices
from molecule_cli.command_app import CommandApp
from molecule_cli.errors import CliError, PlaneRefusal
from molecule_cli.next_steps import add_next_step, explain_refusals
from molecule_cli.output import Output, OutputFormat, print_for_scripts

app = CommandApp(
    help="Accepted messages: those that wait, those that were not delivered, and counts for each state.",
)

PATH = "/admin/a2a-queue"

Message = Annotated[str, typer.Argument(metavar="ID", help="Id of the message, as the list shows it.")]
Messages = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of messages, as the list shows them.")]
Workspace = Annotated[str | None, typer.Option("--workspace", help="Only messages to this workspace: name or id.")]
Note = Annotated[str, typer.Option("--note", help="Why, at most 1000 characters; it is stored with the message.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
TIMES = {
    "accepted": "enqueued_at",
    "due": "not_before",
    "sent": "dispatched_at",
    "ended": "completed_at",
    "expires": "expires_at",
}
"""The times of a message with their labels."""

NEXT_STEPS = (
    ("queue item is dispatching", "it is being delivered, so wait for the outcome"),
    ("queue item is queued", "it will be delivered; molecule queue drop prevents that"),
    ("queue item not found", "molecule queue list shows the ids"),
    ("invalid queue ID", "molecule queue list shows the ids"),
)
"""The advice for a refusal, by the beginning of its text."""

ENDED_STEPS = {
    "requeue": "it has ended, so send it again if it is needed",
    "resolve": "it has ended; there is nothing to resolve",
    "drop": "it has ended; there is nothing to drop",
}
"""The advice for a command about a message that has ended, by the last part of its path."""

REFUSED_MESSAGE = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT})
"""Refusals that concern one message; the command goes on with the next one."""


def _check_states(value: str | None) -> str | None:
    """Return the states that a person names; the command ends with a usage error for another word."""
    if value is not None:
        check_choices(value.split(","), queue_tables.STATES)
    return value


@app.command(name="list")
def list_(
    *,
    status: Annotated[
        str | None,
        typer.Option(
            "--status", metavar="STATUS,...", callback=_check_states, help="Only these states, such as dead,unknown."
        ),
    ] = None,
    workspace: Workspace = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many, the newest first.")] = 100,
    output: Output = OutputFormat.TABLE,
) -> None:
    """
    Show accepted messages, without their contents.

    States:
    queued       it waits; WHY says for what
    dispatching  it is being sent, or an agent that polls has fetched it
    completed    the agent answered, or an operator resolved it
    dead         it was not delivered; requeue or drop it
    unknown      the agent may have received it; resolve, requeue or drop it
    expired      its time to be delivered has passed
    dropped      an operator dropped it, or its target was removed

    docs/delivery.md explains the states and the reasons to wait.
    Those that need a decision: [bold]molecule queue list --status dead,unknown[/].
    """
    from molecule_cli import plane_client, settings, tables

    with plane_client.open_plane(settings.load_settings()) as plane:
        workspace_id = workspaces.find_workspace(plane, workspace) if workspace else None
        query = {"status": status, "workspace_id": workspace_id, "limit": limit}
        messages, has_more = plane.read_page(PATH, query=query)
        names = {} if output is not OutputFormat.TABLE or not messages else workspaces.read_names(plane)
    if print_for_scripts(output, messages, [message["queue_id"] for message in messages]):
        pass
    elif messages:
        rows = queue_tables.build_message_rows(messages, names, now=datetime.now(UTC))
        tables.print_table(queue_tables.MESSAGE_COLUMNS, rows)
    else:
        terminal.print_line("no such messages" if status or workspace else "no message was accepted yet")
    if has_more:
        terminal.print_line("there are more: narrow the list, or raise --limit", to_stderr=True)


@app.command()
def show(message: Message, *, output: Output = OutputFormat.TABLE) -> None:
    """Show one message: its attempts, its request while it may be delivered, its answer afterwards."""
    from molecule_cli import plane_client, settings, tables

    with plane_client.open_plane(settings.load_settings()) as plane:
        with explain_refusals(_explain_refusal):
            found = plane.request("GET", _build_path(message))
        names = {} if output is not OutputFormat.TABLE else workspaces.read_names(plane)
    if print_for_scripts(output, found, [found["queue_id"]]):
        return
    for line in _describe_message(found, names):
        terminal.print_line(line)
    if found["history"]:
        terminal.print_line()
        tables.print_table(queue_tables.ATTEMPT_COLUMNS, queue_tables.build_attempt_rows(found["history"]))
    for member, heading in (("request_body", "request"), ("response_body", "answer")):
        if member in found:
            terminal.print_line()
            terminal.print_line(f"{heading}:")
            terminal.print_text(json.dumps(found[member], indent=2, ensure_ascii=False))


@app.command()
def requeue(messages: Messages) -> None:
    """
    Deliver dead or unknown messages again, with all their attempts before them.

    The agent of an unknown message may have received it: it would receive it twice.
    """
    _change_each(messages, "requeue", body=None, result="queued again")


@app.command()
def resolve(messages: Messages, *, note: Note = "") -> None:
    """Complete dead or unknown messages without delivering them: what they asked for is done."""
    _change_each(messages, "resolve", body={"note": note}, result="completed without being delivered")


@app.command()
def drop(messages: Messages, *, note: Note = "", yes: Yes = False) -> None:
    """Drop messages for good: queued, dead or unknown ones. In a terminal it asks first."""
    _confirm(f"drop {len(messages)} {'message' if len(messages) == 1 else 'messages'} for good?", yes=yes)
    _change_each(messages, "drop", body={"note": note}, result="dropped")


@app.command(name="drop-stale")
def drop_stale(
    *,
    minutes: Annotated[
        int, typer.Option("--older-than", min=1, metavar="MINUTES", help="Those that were accepted longer ago.")
    ] = 60,
    workspace: Workspace = None,
    yes: Yes = False,
) -> None:
    """Drop the queued messages that have waited too long. In a terminal it asks first."""
    from molecule_cli import plane_client, settings

    _confirm(f"drop every queued message that was accepted more than {minutes} minutes ago?", yes=yes)
    with plane_client.open_plane(settings.load_settings()) as plane:
        workspace_id = workspaces.find_workspace(plane, workspace) if workspace else None
        query = {"max_age_minutes": minutes, "workspace_id": workspace_id}
        dropped = plane.request("POST", f"{PATH}/drop-stale", query=query)["dropped"]
    terminal.print_line(f"{dropped} dropped")


@app.command()
def accounts(*, workspace: Workspace = None, output: Output = OutputFormat.TABLE) -> None:
    """
    Show for each workspace how many messages were accepted, and where they are now.

    Ends with exit code 1 if a message is missing or counted twice.
    """
    from molecule_cli import plane_client, settings, tables

    with plane_client.open_plane(settings.load_settings()) as plane:
        workspace_id = workspaces.find_workspace(plane, workspace) if workspace else None
        found = plane.request("GET", f"{PATH}/accounts", query={"workspace_id": workspace_id})
        names = {} if output is not OutputFormat.TABLE else workspaces.read_names(plane)
    if print_for_scripts(output, found, [target["workspace_id"] for target in found["targets"]]):
        pass
    else:
        tables.print_table(queue_tables.ACCOUNT_COLUMNS, queue_tables.build_account_rows(found, names))
    if wrong := [target for target in (*found["targets"], found["total"]) if not target["balanced"]]:
        raise CliError(_describe_imbalance(wrong, names))
    if output is OutputFormat.TABLE:
        total = found["total"]["accepted"]
        terminal.print_line(f"balanced: every accepted message ({total}) is in exactly one state")


def _change_each(messages: Sequence[str], verb: str, *, body: object, result: str) -> None:
    """Send one command for each message, and print its result; a refused message does not keep the others from it."""
    from molecule_cli import plane_client, settings

    refused = False
    with plane_client.open_plane(settings.load_settings()) as plane:
        for message in messages:
            try:
                plane.request("POST", f"{_build_path(message)}/{verb}", body=body)
            except PlaneRefusal as refusal:
                if refusal.status not in REFUSED_MESSAGE:
                    raise
                refused = True
                terminal.print_line(f"molecule: {message}: {_explain_refusal(refusal, verb)}", to_stderr=True)
            else:
                terminal.print_line(f"{message} {result}")
    if refused:
        raise typer.Exit(1)


def _explain_refusal(refusal: PlaneRefusal, verb: str = "") -> str:
    """Return the reason of a refusal with the next step; the plane calls a message a queue item."""
    steps = [*NEXT_STEPS, ("queue item is ", ENDED_STEPS.get(verb, ""))]
    return add_next_step(refusal, steps).replace("queue item", "message", 1)


def _confirm(question: str, *, yes: bool) -> None:
    """Ask in a terminal; a script that names the messages needs no answer."""
    if not yes and sys.stdin.isatty() and not typer.confirm(question):
        raise typer.Exit(1)


def _build_path(message: str) -> str:
    return f"{PATH}/{quote(message, safe='')}"


def _describe_message(message: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[str]:
    """Yield one line for each fact about a message."""
    result = f" ({message['result']})" if message["result"] else ""
    yield f"message   {message['queue_id']}"
    yield f"status    {message['status']}{result}"
    if cause := queue_tables.describe_cause(message):
        yield f"why       {cause}"
    yield f"to        {queue_tables.name_workspace(message['workspace_id'], names)}"
    yield f"from      {queue_tables.name_workspace(message['caller_id'], names)}"
    yield f"method    {message['method']}"
    yield f"priority  {message['priority']}"
    yield f"failures  {message['attempts']}"
    for label, member in TIMES.items():
        if message[member]:
            yield f"{label:<9} {message[member][:19]}Z"


def _describe_imbalance(wrong: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> str:
    texts = [
        f"{queue_tables.name_workspace(counts.get('workspace_id', 'total'), names)}: {counts['accepted']} accepted, "
        f"{sum(counts[state] for state in queue_tables.STATES)} in a state"
        for counts in wrong
    ]
    return f"NOT balanced: {'; '.join(texts)}: messages are missing or counted twice, please report this"
