"""Waits until workspaces have a status, and reports on standard error what they wait for."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molecule_cli import exit_codes, terminal
from molecule_cli.errors import ConditionNotMet

if TYPE_CHECKING:
    from molecule_cli.plane_client import PlaneClient

FIRST_DELAY_SECONDS = 0.1

DELAY_GROWTH = 1.5

MAX_DELAY_SECONDS = 1.0
"""The longest time between two looks."""

DEFAULT_TIMEOUT_SECONDS = 120

RUNNING_STATUSES = frozenset({"online", "degraded"})

FINAL_STATUSES = frozenset({"failed", "removed"})
"""Statuses that no waiting changes: the cause has to be mended first."""

Wait = Annotated[bool, typer.Option("--wait", "-w", help="Wait until the agent is online.")]

Timeout = Annotated[
    int, typer.Option("--timeout", min=0, max=86_400, metavar="SECONDS", help="How long to wait at most.")
]


def wait_for_statuses(
    plane: "PlaneClient", names: Mapping[str, str], wanted: frozenset[str], *, timeout_seconds: float
) -> list[dict[str, Any]]:
    """Wait until all workspaces have one of the statuses, and return them; `names` has their names by id.

    Raises `ConditionNotMet` if one fails, or if the time is over.
    """
    deadline = time.monotonic() + timeout_seconds
    delay, shown = FIRST_DELAY_SECONDS, dict[str, str]()
    while True:
        found = [plane.request("GET", f"/workspaces/{workspace_id}") for workspace_id in names]
        waiting = [one for one in found if one["status"] not in wanted]
        if not waiting:
            return found
        for one in waiting:
            step = describe_step(one)
            if shown.get(one["id"]) != step:
                shown[one["id"]] = step
                terminal.print_note(f"{names[one['id']]}: {step}", to_stderr=True)
        if failed := [one for one in waiting if one["status"] in FINAL_STATUSES]:
            raise ConditionNotMet(_describe_failure(failed, names), exit_codes.TASK_FAILED)
        if time.monotonic() + delay > deadline:
            states = ", ".join(f"{names[one['id']]} is {one['status']}" for one in waiting)
            message = f"not there after {timeout_seconds:.0f} s: {states}; molecule ws wait goes on waiting"
            raise ConditionNotMet(message, exit_codes.NOT_FINISHED)
        time.sleep(delay)
        delay = min(delay * DELAY_GROWTH, MAX_DELAY_SECONDS)


def describe_step(workspace: Mapping[str, Any]) -> str:
    """Return what a workspace does or waits for, as a sentence."""
    provisioning = workspace.get("provisioning")
    if workspace["status"] == "provisioning" and isinstance(provisioning, dict):
        position = provisioning.get("position")
        place = f" (place {position} in the queue of starts)" if position else ""
        return f"{provisioning.get('text') or provisioning.get('step')}{place}"
    return f"{workspace['status']}: {workspace.get('status_detail') or workspace.get('status_reason') or ''}".rstrip(
        ": "
    )


def _describe_failure(failed: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> str:
    first = names[failed[0]["id"]]
    causes = "; ".join(f"{names[one['id']]} is {describe_step(one)}" for one in failed)
    return f"{causes} molecule ws logs {first} may show more"
