"""`molecule ws create`: makes a workspace from a template or for an agent that runs elsewhere."""

from typing import Annotated, Any

import typer

from molecule_cli import terminal, waiting, workspaces
from molecule_cli.errors import PlaneRefusal
from molecule_cli.next_steps import add_next_step, explain_refusals
from molecule_cli.output import Output, OutputFormat, print_answer
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

EXAMPLES = (
    "molecule ws create writer --template echo-agent --parent lead --wait",
    "molecule ws create laptop --external          (prints the token for its agent)",
)

NEXT_STEPS = (
    ("invalid template", "molecule templates lists those that can be used"),
    ("parent workspace not found", "molecule ws list shows the workspaces"),
    ("maximum ", "molecule ws pause stops one that is not needed now"),
)


def create(
    name: Annotated[str, typer.Argument(help="What it is called.")],
    *,
    template: Annotated[str | None, typer.Option("--template", "-t", help="What it is made from.")] = None,
    external: Annotated[bool, typer.Option("--external", help="Its agent is started elsewhere.")] = False,
    url: Annotated[str | None, typer.Option("--url", help="The address of an external agent.")] = None,
    role: Role = None,
    parent: Parent = None,
    tier: Tier = None,
    model: Model = None,
    runtime: Runtime = None,
    workspace_dir: Directory = None,
    budget: Budget = None,
    max_tasks: MaxTasks = None,
    idle_minutes: IdleMinutes = None,
    wait: waiting.Wait = False,
    timeout: waiting.Timeout = waiting.DEFAULT_TIMEOUT_SECONDS,
    output: Output = OutputFormat.TABLE,
) -> None:
    """
    Create a workspace; the plane starts its agent.

    With --external the plane starts nothing, and prints the token with which the agent registers.
    """
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        fields = {
            "name": name,
            "template": template,
            "external": external or None,
            "url": url,
            "role": role,
            "parent_id": workspaces.find_workspace(plane, parent) if parent else None,
            "tier": tier,
            "model": model,
            "runtime": runtime,
            "workspace_dir": workspace_dir,
            "workspace_access": "read_write" if workspace_dir else None,
            "budget_limit": budget,
            "max_concurrent_tasks": max_tasks,
            "hibernation_idle_minutes": idle_minutes,
        }
        with explain_refusals(_explain):
            body = {field: value for field, value in fields.items() if value is not None}
            created = plane.request("POST", "/workspaces", body=body)
        print_answer(
            output, created, names=[created["id"]], print_table=lambda: _print_created(created, name, wait=wait)
        )
        if wait and not created.get("external"):
            found = waiting.wait_for_statuses(
                plane, {created["id"]: name}, waiting.RUNNING_STATUSES, timeout_seconds=timeout
            )
            if output is OutputFormat.TABLE:
                terminal.print_note(f"{name} is {found[0]['status']}")


def _print_created(created: dict[str, Any], name: str, *, wait: bool) -> None:
    terminal.print_line(f"{created['id']}  {created['status']}")
    connection = created.get("connection")
    if isinstance(connection, dict):
        terminal.print_note(
            f"its agent registers at {connection['registry_endpoint']} with this token, which is not shown again:",
            to_stderr=True,
        )
        terminal.print_line(connection["auth_token"])
    elif not wait:
        terminal.print_note(f"molecule ws wait {name} waits until its agent is online", to_stderr=True)


def _explain(refusal: PlaneRefusal) -> str:
    detail = refusal.answer.get("detail")
    text = add_next_step(refusal, NEXT_STEPS)
    return f"{text} ({detail})" if detail and str(detail) not in text else text
