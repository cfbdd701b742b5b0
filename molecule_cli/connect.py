"""`molecule connect`: runs an agent on this machine for a workspace of a plane, also from behind NAT."""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molecule_cli import terminal
from molecule_cli.errors import CliError, PlaneRefusal

if TYPE_CHECKING:
    from molecule_agent.settings import Settings
    from molecule_cli.connected_workspace import ConnectedWorkspace

MAX_TOKEN_LENGTH = 4096
"""Characters of a token."""

UNAVAILABLE = frozenset(
    {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
)
"""Answers of a plane that may carry out the same request soon."""

UNAVAILABLE_SECONDS = 60.0
"""Seconds in which such a plane is asked again."""

RETRY_SECONDS = 2.0

INHERITED_VARIABLES = ("AGENT_NAME", "HEARTBEAT_SECONDS", "INBOX_LEASE_SECONDS", "PARENT_ID")
"""Variables of agents that count here too; the others are options, or have another meaning for this command."""


OWN_VARIABLES = frozenset({"MOLECULE_TOKEN", "ADMIN_TOKEN"})
"""Variables that this command alone may know: with them an adapter could do more than its workspace may."""

EXAMPLES = ("molecule connect counter --adapter my_agent --create", "molecule connect counter --mode push")


class Mode(StrEnum):
    """How messages reach the agent."""

    PUSH = "push"
    POLL = "poll"


def connect(
    workspace: Annotated[str, typer.Argument(help="Name or id of the workspace.")],
    *,
    adapter: Annotated[
        str, typer.Option(help="Module with your class Adapter, found in this directory; unset: the echo adapter.")
    ] = "",
    mode: Annotated[
        Mode | None,
        typer.Option(help="push: the plane calls this machine; poll: the agent fetches messages; unset: as stored."),
    ] = None,
    create: Annotated[bool, typer.Option("--create", help="Create the workspace if there is none.")] = False,
    token_file: Annotated[
        str, typer.Option(help="File with a token of the workspace; - reads it from standard input.")
    ] = "",
    directory: Annotated[
        Path | None, typer.Option(help="Directory for the token and the files of the agent; unset: ./WORKSPACE.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="With push: the host under which the plane reaches this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="With push: the port; 0 takes any.")] = 0,
    model: Annotated[str, typer.Option(help="The model that the adapter should use.")] = "",
) -> None:
    """
    Run an agent here and connect it to its workspace, until Ctrl-C.

    With poll, the default of external workspaces, nothing has to reach this machine. A fetched message is answered
    once, also if this command is killed meanwhile and started again. The adapter reads its options, such as the key of
    a model, from the variables of this process.
    """
    from molecule_agent.__main__ import run_agent_process
    from molecule_agent.adapter import AdapterError
    from molecule_agent.app import ListenError
    from molecule_agent.inbox.journal import JournalError
    from molecule_cli import connected_workspace, settings
    from services.chassis.settings import read_environment

    connection = settings.load_settings()
    root = (directory or Path(connected_workspace.choose_directory_name(workspace))).absolute()
    token = _read_token(token_file) if token_file else ""
    connected = _open_when_available(
        lambda: connected_workspace.open_workspace(connection, root, workspace, may_create=create, token=token)
    )
    environment = read_environment()
    agent_settings = _build_settings(
        {name: environment[name] for name in INHERITED_VARIABLES if name in environment}
        | {
            "WORKSPACE_ID": connected.id,
            "PLATFORM_URL": connection.url,
            "MOLECULE_ROOT": str(root),
            "ADAPTER_MODULE": adapter,
            "DELIVERY_MODE": mode or "",
            "MODEL": model,
            "HOST": host,
            "PORT": str(port),
        },
        may_listen=(mode or connected.delivery_mode) == Mode.PUSH,
        for_adapter={name: value for name, value in environment.items() if name not in OWN_VARIABLES},
    )
    sys.path.insert(0, str(Path.cwd()))
    try:
        run_agent_process(agent_settings)
    except (AdapterError, ListenError, JournalError) as error:
        raise CliError(str(error).replace("ADAPTER_MODULE", "--adapter", 1)) from error


def _open_when_available(open_workspace: "Callable[[], ConnectedWorkspace]") -> "ConnectedWorkspace":
    """Open the workspace; a plane that is busy, or just starting, is asked again for a while."""
    deadline = time.monotonic() + UNAVAILABLE_SECONDS
    while True:
        try:
            return open_workspace()
        except PlaneRefusal as refusal:
            if refusal.status not in UNAVAILABLE or time.monotonic() > deadline:
                raise
            terminal.print_line(f"molecule: {refusal}", to_stderr=True)
        time.sleep(RETRY_SECONDS)


def _build_settings(variables: dict[str, str], *, may_listen: bool, for_adapter: Mapping[str, str]) -> "Settings":
    from molecule_agent.settings import Settings, SettingsError

    try:
        return replace(Settings.from_environment(variables), may_listen=may_listen, environment=for_adapter)
    except SettingsError as error:
        raise CliError(str(error)) from error


def _read_token(name: str) -> str:
    """Read a token from a file or from standard input."""
    try:
        if name == "-":
            text = sys.stdin.readline(MAX_TOKEN_LENGTH + 2)
        else:
            with Path(name).open(encoding="ascii") as file:
                text = file.read(MAX_TOKEN_LENGTH + 2)
    except (OSError, UnicodeDecodeError) as error:
        message = f"--token-file {name} cannot be read: {error}"
        raise CliError(message) from error
    token = text.strip()
    if not token or len(token) > MAX_TOKEN_LENGTH or not token.isascii():
        message = f"--token-file {name} holds no token"
        raise CliError(message)
    return token
