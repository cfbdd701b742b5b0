"""`molecule schedules`: manages the prompts that a workspace receives at the times of cron expressions."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molecule_cli import schedule_tables, terminal, workspaces
from molecule_cli.command_app import CommandApp
from molecule_cli.errors import CliError, PlaneRefusal
from molecule_cli.next_steps import add_next_step, explain_refusals
from molecule_cli.output import Output, OutputFormat, print_for_scripts
from molecule_cli.selection import Workspace

if TYPE_CHECKING:
    from molecule_cli.plane_client import PlaneClient

app = CommandApp(help="Schedules: prompts that a workspace receives at fixed times.")

NEXT_STEPS = (
    ("invalid timezone", "use a name of the IANA database, such as UTC or Europe/Berlin"),
    ("schedule name already exists", "choose another name with --name"),
    ("schedule not found", "molecule schedules list shows the schedules of a workspace"),
    ("too many schedules", "delete one with molecule schedules delete"),
)
"""The advice for a refusal, by the beginning of its text."""

CRON_ADVICE = "use five fields, minute hour day month weekday, such as '0 9 * * mon-fri'"

Schedule = Annotated[str, typer.Argument(help="Name or id of the schedule.")]


@app.command(name="list")
def list_(workspace: Workspace, *, output: Output = OutputFormat.TABLE) -> None:
    """Show the schedules of a workspace, the oldest first."""
    from molecule_cli import plane_client, settings, tables

    with plane_client.open_plane(settings.load_settings()) as plane:
        schedules = plane.request("GET", _build_path(plane, workspace))
    if print_for_scripts(output, schedules, [one["id"] for one in schedules]):
        pass
    elif schedules:
        tables.print_table(schedule_tables.SCHEDULE_COLUMNS, schedule_tables.build_schedule_rows(schedules))
    else:
        terminal.print_line("no schedules yet: molecule schedules create makes one")


@app.command()
def show(workspace: Workspace, schedule: Schedule, *, output: Output = OutputFormat.TABLE) -> None:
    """Show one schedule with its prompt."""
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        found = _find_schedule(plane, _build_path(plane, workspace), schedule)
    if print_for_scripts(output, found, [found["id"]]):
        return
    for line in schedule_tables.describe_schedule(found):
        terminal.print_line(line)
    terminal.print_line()
    terminal.print_line("prompt:")
    terminal.print_text(found["prompt"])


@app.command()
def create(
    workspace: Workspace,
    cron: Annotated[str, typer.Argument(help="Minute, hour, day, month and weekday, such as '0 9 * * mon-fri'.")],
    prompt: Annotated[str, typer.Argument(help="The message that the agent receives.")],
    *,
    name: Annotated[str, typer.Option("--name", help="What it is called; unique in the workspace.")] = "",
    timezone: Annotated[str, typer.Option("--timezone", help="The zone of the times, such as Europe/Berlin.")] = "UTC",
    disabled: Annotated[bool, typer.Option("--disabled", help="Create it without running it yet.")] = False,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Send a prompt to a workspace at the times of a cron expression."""
    from molecule_cli import plane_client, settings

    body = {"cron_expr": cron, "prompt": prompt, "name": name, "timezone": timezone, "enabled": not disabled}
    with plane_client.open_plane(settings.load_settings()) as plane:
        answer = _request(plane, "POST", _build_path(plane, workspace), body=body)
    if print_for_scripts(output, answer, [answer["id"]]):
        return
    due = f"runs next at {answer['next_run_at'][:19]}Z" if answer["next_run_at"] else "does not run until enabled"
    terminal.print_line(f"{answer['id']} {answer['status']}; it {due}")


@app.command()
def edit(
    workspace: Workspace,
    schedule: Schedule,
    *,
    cron: Annotated[str | None, typer.Option("--cron", help="Other times.")] = None,
    prompt: Annotated[str | None, typer.Option("--prompt", help="Another message.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Another name.")] = None,
    timezone: Annotated[str | None, typer.Option("--timezone", help="Another time zone.")] = None,
    enabled: Annotated[bool | None, typer.Option("--enable/--disable", help="Whether it runs.")] = None,
) -> None:
    """Change a schedule; what is not given stays as it is."""
    from molecule_cli import plane_client, settings

    given = {"cron_expr": cron, "prompt": prompt, "name": name, "timezone": timezone, "enabled": enabled}
    changes = {member: value for member, value in given.items() if value is not None}
    if not changes:
        message = "nothing to change: molecule schedules edit --help lists what can be"
        raise CliError(message)
    with plane_client.open_plane(settings.load_settings()) as plane:
        path = _build_path(plane, workspace)
        found = _find_schedule(plane, path, schedule)
        _request(plane, "PATCH", f"{path}/{found['id']}", body=changes)
    if found["enabled"] if enabled is None else enabled:
        terminal.print_line("updated; molecule schedules list shows when it runs next")
    else:
        terminal.print_line("updated; it is disabled and does not run")


@app.command()
def delete(workspace: Workspace, schedule: Schedule) -> None:
    """Delete a schedule and its history."""
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        path = _build_path(plane, workspace)
        found = _find_schedule(plane, path, schedule)
        _request(plane, "DELETE", f"{path}/{found['id']}")
    terminal.print_line("deleted")


@app.command()
def history(workspace: Workspace, schedule: Schedule, *, output: Output = OutputFormat.TABLE) -> None:
    """Show the newest runs of a schedule."""
    from molecule_cli import plane_client, settings, tables

    with plane_client.open_plane(settings.load_settings()) as plane:
        path = _build_path(plane, workspace)
        found = _find_schedule(plane, path, schedule)
        runs = _request(plane, "GET", f"{path}/{found['id']}/history")
    if print_for_scripts(output, runs, [one["timestamp"] for one in runs]):
        pass
    elif runs:
        tables.print_table(schedule_tables.RUN_COLUMNS, schedule_tables.build_run_rows(runs))
    else:
        terminal.print_line("it was not due yet")


@app.command()
def run(workspace: Workspace, schedule: Schedule) -> None:
    """Send the prompt of a schedule now, and print the answer of the agent; its history does not count this run."""
    from molecule_cli import plane_client, send, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        path = _build_path(plane, workspace)
        found = _find_schedule(plane, path, schedule)
        fired = _request(plane, "POST", f"{path}/{found['id']}/run")
        send.send_text(plane, fired["workspace_id"], fired["prompt"], name=workspace)


@app.command()
def health(
    workspace: Annotated[str | None, typer.Argument(help="Name or id of a workspace; all if left out.")] = None,
    *,
    output: Output = OutputFormat.TABLE,
) -> None:
    """
    Show whether schedules run as they should: those of one workspace, or with an admin token all.

    Ends with exit code 1 if one has not run for two of its intervals, or if its last run failed.
    """
    from molecule_cli import plane_client, settings, tables

    with plane_client.open_plane(settings.load_settings()) as plane:
        path = f"{_build_path(plane, workspace)}/health" if workspace else "/admin/schedules/health"
        found = plane.request("GET", path)
    if print_for_scripts(output, found, [one.get("schedule_id") or one["id"] for one in found]):
        pass
    elif not found:
        terminal.print_line("no schedules yet: molecule schedules create makes one")
    elif workspace:
        tables.print_table(schedule_tables.HEALTH_COLUMNS, schedule_tables.build_health_rows(found))
    else:
        tables.print_table(schedule_tables.PUNCTUALITY_COLUMNS, schedule_tables.build_punctuality_rows(found))
    if late := [one for one in found if schedule_tables.is_unhealthy(one)]:
        count = f"{len(late)} of {len(found)} schedules"
        message = f"{count} do not run as they should: molecule schedules history shows their runs"
        raise CliError(message)


def _build_path(plane: "PlaneClient", workspace: str) -> str:
    return f"/workspaces/{workspaces.find_workspace(plane, workspace)}/schedules"


def _find_schedule(plane: "PlaneClient", path: str, name_or_id: str) -> Mapping[str, Any]:
    """Return the schedule of a workspace with an id or a name."""
    schedules = plane.request("GET", path)
    by_id = [one for one in schedules if one["id"] == name_or_id.lower()]
    named = [one for one in schedules if one["name"] == name_or_id]
    if found := by_id or named:
        return dict(found[0])
    message = f"this workspace has no schedule {name_or_id}: molecule schedules list shows them"
    raise CliError(message)


def _request(plane: "PlaneClient", method: str, path: str, *, body: object = None) -> Any:  # noqa: ANN401 - JSON
    with explain_refusals(_explain):
        return plane.request(method, path, body=body)


def _explain(refusal: PlaneRefusal) -> str:
    if refusal.answer.get("detail") == "invalid cron_expr":
        return f"invalid cron expression: {CRON_ADVICE}"
    return add_next_step(refusal, NEXT_STEPS)
