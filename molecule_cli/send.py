"""`molecule send`: sends a message to an agent and prints the answer; the exit code tells how the task ended."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molecule_cli import answer_text, dialect, message_text, receipts, terminal
from molecule_cli.dialect import Conversation
from molecule_cli.errors import CliError, TaskNotCompleted
from molecule_cli.exit_codes import INPUT_NEEDED, NOT_FINISHED, TASK_FAILED
from molecule_cli.output import Output, OutputFormat, print_for_scripts, print_json
from molecule_cli.receipts import ReceiptFollower
from molecule_cli.selection import Workspace

if TYPE_CHECKING:
    from molecule_cli.plane_client import PlaneClient

EXIT_CODES = {
    "failed": TASK_FAILED,
    "rejected": TASK_FAILED,
    "canceled": TASK_FAILED,
    "cancelled": TASK_FAILED,
    "input-required": INPUT_NEEDED,
    "auth-required": INPUT_NEEDED,
    "submitted": NOT_FINISHED,
    "working": NOT_FINISHED,
}
"""The exit code for each state of a task that is not completed."""

DEFAULT_WAIT_SECONDS = 120


def send(
    workspace: Workspace,
    text: Annotated[
        str | None, typer.Argument(help="The text of the message; '-' or none: standard input.", show_default=False)
    ] = None,
    *,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", exists=True, dir_okay=False, help="A file with the text.")
    ] = None,
    stream: Annotated[
        bool | None,
        typer.Option(
            "--stream/--no-stream",
            help="Print the reply as it arrives; without either in a terminal, if the agent can.",
            show_default=False,
        ),
    ] = None,
    context: Annotated[str, typer.Option("--context-id", help="The conversation that the message belongs to.")] = "",
    wait: Annotated[
        int,
        typer.Option(
            "--wait",
            min=0,
            max=86_400,
            help="Seconds to wait for an agent that starts, wakes or is busy, and for the answer to a queued message.",
        ),
    ] = DEFAULT_WAIT_SECONDS,
    output: Output = OutputFormat.TABLE,
) -> None:
    """
    Send a message to the agent of a workspace and print its reply.

    If the plane queues the message, the command waits for the answer, and never sends the message again.
    With [bold]-o name[/] it prints the id of the task, message or receipt instead of the text.

    Exit codes:
    0 the agent answered
    1 the message was refused, not sent or not delivered, or its answer is lost
    2 the command was called with wrong arguments
    3 the task failed, or was rejected or canceled
    4 the agent needs input or authorisation
    5 the message is accepted, but the answer is not there yet
    """
    from molecule_cli import plane_client, settings, workspaces

    with plane_client.open_plane(settings.load_settings()) as plane:
        workspace_id = workspaces.find_workspace(plane, workspace)
        send_text(
            plane,
            workspace_id,
            message_text.read_text(text, file),
            name=workspace,
            context_id=context,
            stream=stream,
            wait_seconds=wait,
            output=output,
        )


def send_text(
    plane: "PlaneClient",
    workspace_id: str,
    text: str,
    *,
    name: str,
    context_id: str = "",
    stream: bool | None = None,
    wait_seconds: int = DEFAULT_WAIT_SECONDS,
    output: OutputFormat = OutputFormat.TABLE,
) -> None:
    """
    Send a message and print the reply as `send` does; `name` is the name that the user gave.

    `stream` is `None` to print the reply as it arrives where that helps: in a terminal, if the agent can.
    """
    from molecule_cli import messages

    deadline = time.monotonic() + wait_seconds
    with show_waiting(name) as on_wait:
        sender = messages.MessageSender(
            plane, workspace_id, deadline=deadline, on_wait=on_wait, conversation=Conversation(context_id=context_id)
        )
        follower = ReceiptFollower(plane, workspace_id, deadline=deadline, on_wait=on_wait)
        if stream is None:
            stream = output is OutputFormat.TABLE and terminal.is_output_terminal() and sender.can_stream()
        if stream:
            _print_stream(sender.stream(text), follower, output=output)
        else:
            _print_answer(sender.send(text), follower, output=output)


@contextmanager
def show_waiting(workspace: str) -> Iterator[Any]:
    """Yield a function that shows the reason of a wait on standard error, each reason once."""
    shown: set[str] = set()

    def show(reason: str) -> None:
        if reason not in shown:
            shown.add(reason)
            terminal.print_line(f"waiting for {workspace}: {reason}", to_stderr=True)

    yield show


def _print_answer(answer: dict[str, Any], follower: ReceiptFollower, *, output: OutputFormat) -> None:
    if receipts.is_receipt(answer):
        followed = _follow_receipt(answer, follower, output=output)
        if followed is None:
            return
        answer = followed
    result = answer.get("result")
    if print_for_scripts(output, answer, [dialect.read_id(result)]):
        pass
    elif isinstance(result, dict):
        terminal.print_text(answer_text.extract_answer(result))
    if receipts.is_receipt(answer):  # the agent is itself a plane, whose queue this one cannot look into
        raise receipts.build_unfinished(receipts.describe_receipt(answer), None)
    _raise_unless_completed(dialect.read_task_state(result), result)


def _follow_receipt(
    receipt: dict[str, Any], follower: ReceiptFollower, *, output: OutputFormat
) -> dict[str, Any] | None:
    """Return the agent's answer to an accepted message; `None` if the message was completed without one.

    For scripts it prints what the plane knows instead of an answer: the receipt, or the message that has ended.
    """
    from molecule_cli import messages

    known = receipt
    try:
        known = follower.follow(receipt)
        receipts.raise_unless_completed(known)
        if "response_body" in known:
            return messages.check_answer(known["response_body"])
    except CliError:
        print_for_scripts(output, known, [known.get("queue_id", "")])
        raise
    print_for_scripts(output, known, [known.get("queue_id", "")])
    terminal.print_line(receipts.describe_missing_answer(known), to_stderr=True)
    return None


def _print_stream(events: Iterator[dict[str, Any]], follower: ReceiptFollower, *, output: OutputFormat) -> None:
    state, last_id, last_status, has_text, has_message = "", "", None, False, False
    for event in events:
        if receipts.is_receipt(event):
            _print_answer(event, follower, output=output)
            return
        result = event.get("result")
        last_id = dialect.read_id(result) or last_id
        if output is OutputFormat.JSON:
            print_json(event)
        elif isinstance(result, dict) and output is OutputFormat.TABLE:
            text = answer_text.extract_event(result)
            if not has_text:
                text = text or answer_text.extract_artifacts(result)
            has_text = has_text or bool(text)
            terminal.print_text(text, end="")
        has_message = has_message or answer_text.is_message(result)
        if new_state := dialect.read_task_state(result):
            state, last_status = new_state, result
    if output is OutputFormat.NAME:
        terminal.print_line(last_id)
    if output is OutputFormat.TABLE and (has_text or has_message or state == "completed"):
        typer.echo()
    if not state and not has_message:
        message = "the stream ended before the answer was complete: molecule logs may show why"
        raise TaskNotCompleted(message, NOT_FINISHED)
    _raise_unless_completed(state, last_status)


def _raise_unless_completed(state: str, result: object) -> None:
    exit_code = EXIT_CODES.get(state)
    if exit_code is None:
        return
    reason = answer_text.extract_status_text(result) if isinstance(result, dict) else ""
    message = f"the task is {state}: {reason}" if reason else f"the task is {state}"
    raise TaskNotCompleted(message, exit_code)
