"""`molecule chat`: talks with an agent in one conversation, line by line."""

import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from molecule_cli import answer_text, dialect, receipts, terminal
from molecule_cli.dialect import Conversation
from molecule_cli.errors import CliError
from molecule_cli.selection import Workspace

if TYPE_CHECKING:
    from molecule_cli.plane_client import PlaneClient

LEAVING_WORDS = frozenset({"/quit", "/exit", "/q"})

HELP_WORDS = frozenset({"/help", "/?"})

NEW_WORDS = frozenset({"/new"})

HELP = "/new begins another conversation, /quit or Ctrl-D ends this; every other line is sent"

MESSAGE_WAIT_SECONDS = 120
"""Seconds to wait for an agent that starts or is busy, and for the answer to a queued message."""


def chat(
    workspace: Workspace,
    *,
    context: Annotated[str, typer.Option("--context-id", help="Continue this conversation.")] = "",
) -> None:
    """
    Talk with the agent of a workspace in one conversation, until Ctrl-D or [bold]/quit[/].

    Each line is a message, and the answer is printed as it arrives. Lines may also come from a pipe.
    Afterwards the id of the conversation is printed, with which it can be continued.
    """
    from molecule_cli import plane_client, settings, workspaces

    with plane_client.open_plane(settings.load_settings()) as plane:
        workspace_id = workspaces.find_workspace(plane, workspace)
        conversation = Conversation(context_id=context)
        terminal.print_note(f"you talk with {workspace}; {HELP}", to_stderr=True)
        while (line := _read_line()) is not None:
            match line.strip():
                case "":
                    continue
                case word if word in LEAVING_WORDS:
                    break
                case word if word in HELP_WORDS:
                    terminal.print_note(HELP, to_stderr=True)
                case word if word in NEW_WORDS:
                    conversation = Conversation()
                case text:
                    conversation = _exchange(plane, workspace_id, text, conversation, name=workspace)
    if conversation.context_id:
        terminal.print_note(
            f"molecule chat {workspace} --context-id {conversation.context_id} continues it", to_stderr=True
        )


def _read_line() -> str | None:
    """Return the next line; `None` at the end of the input."""
    if not terminal.is_interactive():
        line = sys.stdin.readline()
        return line or None
    with suppress(ImportError):
        import readline  # noqa: F401 - lets `input` edit the line and remember earlier ones
    try:
        return input("you> ")
    except EOFError:
        typer.echo(err=True)
        return None


def _exchange(
    plane: "PlaneClient", workspace_id: str, text: str, conversation: Conversation, *, name: str
) -> Conversation:
    """Send one message, print the answer, and return the conversation that the next one belongs to.

    A refusal is printed and does not end the conversation.
    """
    from molecule_cli import messages, send

    deadline = time.monotonic() + MESSAGE_WAIT_SECONDS
    with send.show_waiting(name) as on_wait:
        sender = messages.MessageSender(
            plane, workspace_id, deadline=deadline, on_wait=on_wait, conversation=conversation
        )
        follower = receipts.ReceiptFollower(plane, workspace_id, deadline=deadline, on_wait=on_wait)
        has_text = False
        try:
            for event in sender.stream(text) if sender.can_stream() else [sender.send(text)]:
                whole = event
                if receipts.is_receipt(event):
                    ended = follower.follow(event)
                    receipts.raise_unless_completed(ended)
                    whole = messages.check_answer(ended["response_body"]) if "response_body" in ended else {}
                result = whole.get("result")
                if not isinstance(result, dict):
                    continue
                printed = answer_text.extract_event(result) or ("" if has_text else answer_text.extract_answer(result))
                has_text = has_text or bool(printed)
                terminal.print_text(printed, end="")
                conversation = _follow_conversation(conversation, result)
        except CliError as error:
            terminal.print_line(f"molecule: {error}", to_stderr=True)
        if has_text:
            typer.echo()
    return conversation


def _follow_conversation(conversation: Conversation, result: object) -> Conversation:
    """Return the conversation after one event of the answer; the agent may name it in any of them."""
    found = dialect.read_conversation(result)
    state = dialect.read_task_state(result)
    task_id = found.task_id if state else conversation.task_id
    return Conversation(context_id=found.context_id or conversation.context_id, task_id=task_id)
