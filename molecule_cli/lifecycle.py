"""The commands `molecule pause`, `resume`, `hibernate`, `restart`, `cancel` and `remove` of a workspace."""

from typing import Annotated, Any

import typer

from molecule_cli import terminal, workspaces
from molecule_cli.errors import PlaneRefusal
from molecule_cli.next_steps import add_next_step, explain_refusals

Workspace = Annotated[str, typer.Argument(help="Name or id of the workspace.")]

NEXT_STEPS = (
    ("workspace not found or", "molecule status shows its status"),
    ("parent workspace", "molecule resume with the name of the parent starts this one too"),
    ("external workspaces cannot", "its agent is started elsewhere; molecule pause keeps messages from it"),
    ("provisioner not available", "molecule status shows which service does not answer"),
    ("workspace is ", "only a start can be cancelled; molecule pause stops a workspace that runs"),
    ("workspace removed", "it cannot be restored; create another one"),
    ("invalid template", "molecule templates lists those that can be used"),
    ("failed to stop workspace", "it runs as before; the log of the provisioner says why"),
)
"""The advice for a refusal, by the beginning of its text."""


def register(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    for command in (pause, resume, hibernate, restart, cancel, remove):
        app.command()(command)


def pause(workspace: Workspace) -> None:
    """
    Stop a workspace and all workspaces below it, until [bold]molecule resume[/].

    Until then no message and no new secret starts them.
    """
    answer = _send_command(workspace, "POST", "/pause")
    suffix = "; their instances stop when a provisioner is connected" if answer.get("stops_later") else ""
    terminal.print_line(
        f"paused: {_count_workspaces(answer['paused_count'])}{suffix}; molecule resume {workspace} starts them again"
    )


def resume(workspace: Workspace) -> None:
    """Start a paused workspace again, and those below it that are paused as well."""
    answer = _send_command(workspace, "POST", "/resume")
    terminal.print_line(
        f"{answer['status']}: {_count_workspaces(answer['resumed_count'])}; molecule status shows when they are online"
    )


def hibernate(
    workspace: Workspace,
    *,
    force: Annotated[bool, typer.Option("--force", help="Even while it works; that work is lost.")] = False,
) -> None:
    """Stop the agent of a workspace until the next message wakes it; waits until it is stopped."""
    _send_command(workspace, "POST", "/hibernate", query={"force": _format_flag(force)})
    terminal.print_line("hibernated; the next message wakes it")


def restart(
    workspace: Workspace,
    *,
    template: Annotated[
        str, typer.Option("--template", help="The template whose files replace those of the same name.")
    ] = "",
) -> None:
    """
    Replace the instance of a workspace by a fresh one; its files stay.

    With --template it starts with the files of a template; what has other names stays.
    """
    answer = _send_command(workspace, "POST", "/restart", body={"template": template} if template else None)
    applied = f" with {answer['config_dir']}" if template else ""
    terminal.print_line(f"provisioning{applied}; molecule status shows when it is online")


def cancel(workspace: Workspace) -> None:
    """Cancel the start of a workspace that is provisioning: nothing of it runs until [bold]molecule restart[/]."""
    _send_command(workspace, "POST", "/provision/cancel")
    terminal.print_line(f"cancelled; molecule restart {workspace} starts it again")


def remove(
    workspace: Workspace,
    *,
    confirm: Annotated[bool, typer.Option("--confirm", help="Also remove the workspaces below it.")] = False,
    purge: Annotated[bool, typer.Option("--purge", help="Also delete its records; needs its id if removed.")] = False,
) -> None:
    """
    Remove a workspace for good: its instance is stopped and its tokens are revoked.

    If workspaces are below it, --confirm is needed, and removes them too.
    """
    answer = _send_command(
        workspace, "DELETE", "", query={"confirm": _format_flag(confirm), "purge": _format_flag(purge)}
    )
    suffix = f", with {answer['cascade_deleted']} below it" if answer["cascade_deleted"] else ""
    terminal.print_line(f"{answer['status']}{suffix}")


def _send_command(
    workspace: str, method: str, path: str, *, query: dict[str, Any] | None = None, body: object = None
) -> Any:  # noqa: ANN401 - JSON
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        workspace_id = workspaces.find_workspace(plane, workspace)
        with explain_refusals(_explain):
            return plane.request(method, f"/workspaces/{workspace_id}{path}", query=query, body=body)


def _explain(refusal: PlaneRefusal) -> str:
    match refusal.answer:
        case {"status": "confirmation_required", "children": list(children)}:
            names = ", ".join(str(child["name"]) for child in children)
            return f"workspaces are below it ({names}): --confirm removes all of them"
        case {"active_tasks": count}:
            return f"it works on {count} tasks: wait until they are done, or end them with --force"
    return add_next_step(refusal, NEXT_STEPS)


def _format_flag(flag: bool) -> str | None:  # noqa: FBT001 - the flag is what the function formats
    return "true" if flag else None


def _count_workspaces(count: int) -> str:
    return f"{count} {'workspace' if count == 1 else 'workspaces'}"
