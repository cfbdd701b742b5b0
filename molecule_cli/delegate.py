"""`molecule delegate`: gives a task of one workspace to another, and waits for the result on request."""

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molecule_cli import exit_codes, message_text, terminal, workspaces
from molecule_cli.errors import ConditionNotMet
from molecule_cli.output import Output, OutputFormat, print_answer
from molecule_cli.selection import Workspace
from molecule_cli.waiting import DELAY_GROWTH, FIRST_DELAY_SECONDS, MAX_DELAY_SECONDS, Timeout

if TYPE_CHECKING:
    from molecule_cli.plane_client import PlaneClient

EXAMPLES = (
    'molecule delegate lead writer "Write the summary" --wait',
    "molecule delegate lead writer --deadline 3600 < task.txt",
)

DEFAULT_TIMEOUT_SECONDS = 600

ENDED_STATES = frozenset({"completed", "failed", "cancelled", "expired"})


def delegate(
    source: Workspace,
    target: Workspace,
    task: Annotated[str | None, typer.Argument(help="What to do; '-' or none: standard input.")] = None,
    *,
    deadline: Annotated[
        int | None, typer.Option("--deadline", min=1, max=604_800, metavar="SECONDS", help="Until when it must end.")
    ] = None,
    budget: Annotated[
        int | None, typer.Option("--budget", min=0, metavar="CENTS", help="What it may cost, in US cents.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait for the result and print it.")] = False,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
    output: Output = OutputFormat.TABLE,
) -> None:
    """
    Give a task of one workspace to another, as its agent would; the plane follows it until it ends.

    Exit codes with --wait: 3 the task did not complete, 5 it goes on.
    """
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        source_id = workspaces.find_workspace(plane, source)
        body = {
            "target_id": workspaces.find_workspace(plane, target),
            "task": message_text.read_text(task, None),
            "deadline_seconds": deadline,
            "budget": budget,
        }
        answer = plane.request(
            "POST",
            f"/workspaces/{source_id}/delegate",
            body={name: value for name, value in body.items() if value is not None},
        )
        delegation_id = answer["delegation_id"]
        if wait:
            answer = _wait_until_ended(plane, source_id, source, delegation_id, timeout)
    print_answer(
        output, answer, names=[delegation_id], print_table=lambda: _print_delegation(answer, source, delegation_id)
    )
    if wait and answer["status"] != "completed":
        cause = f" ({answer['error']})" if answer.get("error") else ""
        message = f"the delegation is {answer['status']}{cause}: molecule delegations show {source} {delegation_id}"
        raise ConditionNotMet(message, exit_codes.TASK_FAILED)


def _wait_until_ended(plane: "PlaneClient", source_id: str, source: str, delegation_id: str, timeout: int) -> Any:  # noqa: ANN401 - JSON
    give_up_at = time.monotonic() + timeout
    delay, shown = FIRST_DELAY_SECONDS, ""
    while True:
        found = plane.request("GET", f"/workspaces/{source_id}/delegations/{delegation_id}")
        if found["status"] in ENDED_STATES:
            return found
        if shown != found["status"]:
            shown = found["status"]
            terminal.print_note(f"the delegation {delegation_id} is {shown}", to_stderr=True)
        if time.monotonic() + delay > give_up_at:
            message = (
                f"the delegation is still {found['status']} after {timeout} s;"
                f" molecule delegations show {source} {delegation_id} tells what became of it"
            )
            raise ConditionNotMet(message, exit_codes.NOT_FINISHED)
        time.sleep(delay)
        delay = min(delay * DELAY_GROWTH, MAX_DELAY_SECONDS)


def _print_delegation(answer: dict[str, Any], source: str, delegation_id: str) -> None:
    if answer.get("text"):
        terminal.print_text(answer["text"])
    elif answer["status"] not in ENDED_STATES:
        terminal.print_line(f"{delegation_id}  {answer['status']}")
        terminal.print_note(f"molecule delegations show {source} {delegation_id} shows the result", to_stderr=True)
