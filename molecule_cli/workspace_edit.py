"""`molecule ws edit`: changes fields of a workspace, by options or in an editor."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from molecule_cli import editor, terminal, workspaces
from molecule_cli.errors import CliError
from molecule_cli.output import Output, OutputFormat, print_answer
from molecule_cli.selection import Workspace
from molecule_cli.workspace_fields import (
    Budget,
    Directory,
    IdleMinutes,
    MaxTasks,
    Model,
    Parent,
    Role,
    Runtime,
    Tier,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from molecule_cli.plane_client import PlaneClient

EXAMPLES = (
    'molecule ws edit writer --role "Writes the news" --max-tasks 3',
    "molecule ws edit writer --parent editor",
    "molecule ws edit writer          (opens an editor)",
)

EDITED_FIELDS = (
    *("name", "role", "tier", "parent_id", "runtime", "workspace_dir"),
    *("max_concurrent_tasks", "hibernation_idle_minutes", "budget_limit"),
)
"""The fields of a workspace that the editor shows."""

EDITOR_HEADING = "# Change values, then save and close. An unchanged file changes nothing.\n"


def edit(
    workspace: Workspace,
    *,
    name: Annotated[str | None, typer.Option("--name", help="What it is called.", rich_help_panel="Fields")] = None,
    role: Role = None,
    parent: Parent = None,
    root: Annotated[
        bool, typer.Option("--root", help="Move it to the top: no workspace above it.", rich_help_panel="Fields")
    ] = False,
    tier: Tier = None,
    model: Model = None,
    runtime: Runtime = None,
    workspace_dir: Directory = None,
    budget: Budget = None,
    no_budget: Annotated[bool, typer.Option("--no-budget", help="No limit.", rich_help_panel="Fields")] = False,
    max_tasks: MaxTasks = None,
    idle_minutes: IdleMinutes = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Change a workspace. Without options it opens an editor with the present values."""
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        workspace_id = workspaces.find_workspace(plane, workspace)
        fields: dict[str, Any] = {
            "name": name,
            "role": role,
            "tier": tier,
            "model": model,
            "runtime": runtime,
            "workspace_dir": workspace_dir,
            "budget_limit": budget,
            "max_concurrent_tasks": max_tasks,
            "hibernation_idle_minutes": idle_minutes,
            "parent_id": workspaces.find_workspace(plane, parent) if parent else None,
        }
        changes = {field: value for field, value in fields.items() if value is not None}
        changes |= ({"parent_id": None} if root else {}) | ({"budget_limit": None} if no_budget else {})
        if not changes:
            changes = _edit_interactively(plane, workspace_id)
        if not changes:
            terminal.print_note("nothing was changed")
            return
        answer = _apply(plane, workspace_id, changes)
    print_answer(output, answer, names=[workspace_id], print_table=lambda: _print_result(workspace, changes, answer))


def find_changes(before: "Mapping[str, Any]", text: str) -> dict[str, Any]:
    """Return the fields whose values in the edited text differ. Raises `CliError` if the text has another form."""
    import yaml

    try:
        edited = yaml.safe_load(text)
    except yaml.YAMLError as error:
        message = f"the edited text is no YAML, so nothing was changed: {' '.join(str(error).split())}"
        raise CliError(message) from None
    if not isinstance(edited, dict) or set(edited) - set(before):
        unknown = ", ".join(sorted(map(str, set(edited) - set(before)))) if isinstance(edited, dict) else "no fields"
        message = f"the edited text has {unknown}, so nothing was changed: keep the fields {', '.join(before)}"
        raise CliError(message)
    return {field: value for field, value in edited.items() if value != before[field]}


def _edit_interactively(plane: "PlaneClient", workspace_id: str) -> dict[str, Any]:
    import yaml

    if not terminal.is_interactive():
        message = "name what to change, such as --role: there is no terminal for an editor"
        raise CliError(message)
    found = plane.request("GET", f"/workspaces/{workspace_id}")
    before = {field: found.get(field) for field in EDITED_FIELDS}
    if "budget_limit" not in found:
        before["budget_limit"] = plane.request("GET", f"/workspaces/{workspace_id}/budget")["budget_limit"]
    text = EDITOR_HEADING + yaml.safe_dump(before, sort_keys=False, allow_unicode=True)
    return find_changes(before, editor.edit_text(text, suffix=".yaml"))


def _apply(plane: "PlaneClient", workspace_id: str, changes: "Mapping[str, Any]") -> dict[str, Any]:
    """Send the changes to the routes that take them, and return their answers as one object."""
    path = f"/workspaces/{workspace_id}"
    fields = {name: value for name, value in changes.items() if name not in {"model", "budget_limit"}}
    answer: dict[str, Any] = {}
    if fields:
        answer |= plane.request("PATCH", path, body=fields)
    if "model" in changes:
        answer |= plane.request("PUT", f"{path}/model", body={"model": changes["model"]})
    if "budget_limit" in changes:
        answer |= plane.request("PATCH", f"{path}/budget", body={"budget_limit": changes["budget_limit"]})
    return answer


def _print_result(workspace: str, changes: "Mapping[str, Any]", answer: "Mapping[str, Any]") -> None:
    terminal.print_note(f"changed: {', '.join(changes)}")
    if answer.get("model_was_reset"):
        terminal.print_line(f"its model is now {answer['model']}: the one before is not known to this runtime")
    if answer.get("needs_restart"):
        terminal.print_line(f"molecule ws restart {workspace} puts it into force")
