"""The commands that pause, resume, hibernate, restart, cancel and delete workspaces."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molecule_cli import selection, terminal, waiting, workspace_paths, workspaces
from molecule_cli.command_app import CommandApp
from molecule_cli.errors import CliError, PlaneRefusal
from molecule_cli.next_steps import add_next_step, explain_refusals
from molecule_cli.output import Output, OutputFormat, print_answer
from molecule_cli.questions import Yes, require_consent
from molecule_cli.selection import All, Workspace, Workspaces
from molecule_cli.waiting import DEFAULT_TIMEOUT_SECONDS, RUNNING_STATUSES, Timeout, Wait

if TYPE_CHECKING:
    from molecule_cli.plane_client import PlaneClient

STARTED_ELSEWHERE = frozenset({"external"})
"""Runtimes whose agents the plane neither starts nor stops."""

NEXT_STEPS = (
    ("workspace not found or", "molecule status shows its status"),
    ("parent workspace", "molecule ws resume with the name of the parent starts this one too"),
    ("external workspaces cannot", "its agent is started elsewhere; molecule ws pause keeps messages from it"),
    ("provisioner not available", "molecule status shows which service does not answer"),
    ("workspace is ", "only a start can be cancelled; molecule ws pause stops a workspace that runs"),
    ("workspace removed", "it cannot be restored; create another one"),
    ("invalid template", "molecule templates lists those that can be used"),
    ("failed to stop workspace", "it runs as before; the log of the provisioner says why"),
)
"""The advice for a refusal, by the beginning of its text."""

Answer = Mapping[str, Any]


def register(app: CommandApp, *, hidden: bool = False) -> None:
    """Add the commands of this module to `app`; hidden ones are names of earlier releases."""
    for command, examples in (
        (restart, ("molecule ws restart lead --wait", "molecule ws restart --all --yes")),
        (pause, ("molecule ws pause lead", "molecule ws pause --all")),
        (resume, ("molecule ws resume lead --wait",)),
        (hibernate, ("molecule ws hibernate lead",)),
        (cancel, ("molecule ws cancel lead",)),
    ):
        app.command(examples=examples, hidden=hidden)(command)
    if hidden:
        app.command(hidden=True)(remove)
    else:
        app.command(examples=("molecule ws delete writer", "molecule ws delete newsroom --cascade --yes"))(delete)
        app.command(name="remove", hidden=True)(delete)


def restart(
    targets: Workspaces = None,
    *,
    every: All = False,
    template: Annotated[
        str, typer.Option("--template", help="The template whose files replace those of the same name.")
    ] = "",
    wait: Wait = False,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    yes: Yes = False,
    output: Output = OutputFormat.TABLE,
) -> None:
    """
    Replace the instances of workspaces by fresh ones; their files stay.

    With --template they start with the files of a template; what has other names stays.
    """

    def describe(answer: Answer, _: str) -> str:
        applied = f" with {answer['config_dir']}" if template else ""
        return f"provisioning{applied}" + ("" if wait else "; molecule status shows when it is online")

    with _open_plane() as plane:
        chosen = selection.choose(plane, targets, every=every, applies=_can_restart)
        if every:
            require_consent(f"restart {_count_workspaces(len(chosen))}", yes=yes)
        body = {"template": template} if template else None
        _send_each(plane, chosen, "POST", "/restart", body=body, describe=describe, output=output)
        if wait:
            _wait_online(plane, chosen, timeout)


def pause(
    targets: Workspaces = None, *, every: All = False, yes: Yes = False, output: Output = OutputFormat.TABLE
) -> None:
    """
    Stop workspaces and all workspaces below them, until [bold]molecule ws resume[/].

    Until then no message and no new secret starts them.
    """

    def describe(answer: Answer, name: str) -> str:
        suffix = "; their instances stop when a provisioner is connected" if answer.get("stops_later") else ""
        return (
            f"paused: {_count_workspaces(answer['paused_count'])}{suffix}; molecule ws resume {name} starts them again"
        )

    with _open_plane() as plane:
        chosen = selection.choose(plane, targets, every=every, applies=_can_pause, topmost=True)
        if every:
            require_consent(f"stop {_count_workspaces(len(chosen))} and all below", yes=yes)
        _send_each(plane, chosen, "POST", "/pause", describe=describe, output=output)


def resume(
    targets: Workspaces = None,
    *,
    every: All = False,
    wait: Wait = False,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Start paused workspaces again, and those below them that are paused as well."""

    def describe(answer: Answer, _: str) -> str:
        suffix = "" if wait else "; molecule status shows when they are online"
        return f"{answer['status']}: {_count_workspaces(answer['resumed_count'])}{suffix}"

    with _open_plane() as plane:
        chosen = selection.choose(plane, targets, every=every, applies=_is_paused, topmost=True)
        _send_each(plane, chosen, "POST", "/resume", describe=describe, output=output)
        if wait:
            _wait_online(plane, _find_starting(plane, chosen), timeout)


def hibernate(
    targets: Workspaces = None,
    *,
    every: All = False,
    force: Annotated[bool, typer.Option("--force", help="Even while it works; that work is lost.")] = False,
    yes: Yes = False,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Stop the agents of workspaces until the next message wakes them; waits until they are stopped."""
    with _open_plane() as plane:
        chosen = selection.choose(plane, targets, every=every, applies=_can_hibernate)
        if every:
            require_consent(f"hibernate {_count_workspaces(len(chosen))}", yes=yes)
        query = {"force": _format_flag(force)}
        text = "hibernated; the next message wakes it"
        _send_each(plane, chosen, "POST", "/hibernate", query=query, describe=lambda *_: text, output=output)


def cancel(target: Workspace, *, output: Output = OutputFormat.TABLE) -> None:
    """Cancel the start of a workspace that is provisioning: nothing of it runs until [bold]molecule ws restart[/]."""
    text = f"cancelled; molecule ws restart {target} starts it again"
    with _open_plane() as plane:
        chosen = selection.choose(plane, [target], every=False, applies=_can_pause)
        _send_each(plane, chosen, "POST", "/provision/cancel", describe=lambda *_: text, output=output)


def delete(
    targets: Workspaces = None,
    *,
    every: All = False,
    cascade: Annotated[bool, typer.Option("--cascade", "--confirm", help="Also delete the workspaces below.")] = False,
    purge: Annotated[
        bool, typer.Option("--purge", help="Also delete the records; a removed workspace needs its id.")
    ] = False,
    yes: Yes = False,
    output: Output = OutputFormat.TABLE,
) -> None:
    """
    Delete workspaces for good: their instances are stopped, and their tokens are revoked.

    It asks first. A workspace that has others below it needs --cascade, or the answer to the question.
    """
    with _open_plane() as plane:
        chosen = selection.choose(plane, targets, every=every, applies=lambda _: True, topmost=True)
        if not yes:
            count = _count_below(plane, chosen)
            below = f" and {_count_workspaces(count)} below" if count else ""
            records = ", with all records," if purge else ""
            require_consent(f"delete {', '.join(chosen.values())}{below}{records} for good", yes=False)
            cascade = True
        _delete_each(plane, chosen, cascade=cascade or every, purge=purge, output=output)


def remove(
    target: Workspace,
    *,
    confirm: Annotated[bool, typer.Option("--confirm", help="Also remove the workspaces below it.")] = False,
    purge: Annotated[bool, typer.Option("--purge", help="Also delete its records; needs its id if removed.")] = False,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Delete a workspace as [bold]molecule ws delete[/] does, without a question: the name of an earlier release."""
    with _open_plane() as plane:
        chosen = selection.choose(plane, [target], every=False, applies=lambda _: True)
        _delete_each(plane, chosen, cascade=confirm, purge=purge, output=output)


def _delete_each(
    plane: "PlaneClient", chosen: Mapping[str, str], *, cascade: bool, purge: bool, output: OutputFormat
) -> None:
    def describe(answer: Answer, _: str) -> str:
        suffix = f", with {answer['cascade_deleted']} below it" if answer["cascade_deleted"] else ""
        return f"{answer['status']}{suffix}"

    query = {"confirm": _format_flag(cascade), "purge": _format_flag(purge)}
    _send_each(plane, chosen, "DELETE", "", query=query, describe=describe, output=output)


def _open_plane() -> Any:  # noqa: ANN401 - naming the type would import httpx for --help
    from molecule_cli import plane_client, settings

    return plane_client.open_plane(settings.load_settings())


def _send_each(
    plane: "PlaneClient",
    chosen: Mapping[str, str],
    method: str,
    path: str,
    *,
    query: Mapping[str, Any] | None = None,
    body: object = None,
    describe: Callable[[Answer, str], str],
    output: OutputFormat,
) -> None:
    """Send a command for each workspace and print its answer; one that is refused does not keep the others from it."""
    refusals: list[str] = []
    for workspace_id, name in chosen.items():
        prefix = f"{name}: " if len(chosen) > 1 else ""
        try:
            with explain_refusals(_explain):
                answer = plane.request(method, f"/workspaces/{workspace_id}{path}", query=query, body=body)
        except CliError as refusal:
            refusals.append(f"{prefix}{refusal}")
            continue
        text = f"{prefix}{describe(answer, name)}"
        print_answer(output, answer, names=[workspace_id], print_table=lambda text=text: terminal.print_note(text))  # type: ignore[misc]
    if not chosen:
        terminal.print_note("no workspace to which this applies")
    if refusals:
        raise CliError("; ".join(refusals))


def _wait_online(plane: "PlaneClient", chosen: Mapping[str, str], timeout: int) -> None:
    for workspace in waiting.wait_for_statuses(plane, chosen, RUNNING_STATUSES, timeout_seconds=timeout):
        terminal.print_note(f"{chosen[workspace['id']]} is {workspace['status']}")


def _find_starting(plane: "PlaneClient", roots: Mapping[str, str]) -> dict[str, str]:
    """Return the workspaces that start, or have started, at and below some others."""
    everything = workspaces.list_visible(plane)
    paths = workspace_paths.build_paths(everything)
    return {
        one["id"]: paths[one["id"]]
        for root_id in roots
        for one in workspace_paths.select_below(everything, root_id)
        if one["status"] == "provisioning" or one["status"] in RUNNING_STATUSES
    }


def _explain(refusal: PlaneRefusal) -> str:
    match refusal.answer:
        case {"status": "confirmation_required", "children": list(children)}:
            names = ", ".join(str(child["name"]) for child in children)
            return f"workspaces are below it ({names}): --confirm removes all of them"
        case {"active_tasks": count}:
            return f"it works on {count} tasks: wait until they are done, or end them with --force"
    return add_next_step(refusal, NEXT_STEPS)


def _can_restart(workspace: Answer) -> bool:
    return not _is_paused(workspace) and workspace.get("runtime") not in STARTED_ELSEWHERE


def _can_pause(workspace: Answer) -> bool:
    return not _is_paused(workspace)


def _is_paused(workspace: Answer) -> bool:
    return str(workspace["status"]) == "paused"


def _can_hibernate(workspace: Answer) -> bool:
    return str(workspace["status"]) in RUNNING_STATUSES and workspace.get("runtime") not in STARTED_ELSEWHERE


def _count_below(plane: "PlaneClient", chosen: Mapping[str, str]) -> int:
    everything = workspaces.list_visible(plane)
    ids = {one["id"] for root_id in chosen for one in workspace_paths.select_below(everything, root_id)}
    return len(ids - set(chosen))


def _format_flag(flag: bool) -> str | None:  # noqa: FBT001 - the flag is what the function formats
    return "true" if flag else None


def _count_workspaces(count: int) -> str:
    return f"{count} {'workspace' if count == 1 else 'workspaces'}"
