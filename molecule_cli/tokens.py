"""`molecule tokens`: manages the tokens of one workspace. Of a new token, only the text goes to standard output."""

from typing import Annotated, Any

import typer

from molecule_cli import terminal, workspaces
from molecule_cli.command_app import CommandApp
from molecule_cli.output import Output, OutputFormat, print_for_scripts
from molecule_cli.selection import Workspace

app = CommandApp(help="Tokens of one workspace: list, mint, revoke, rotate.")

GRACE_SECONDS = 300
"""Seconds that the old token stays valid after a rotation, by default."""

Token = Annotated[str, typer.Argument(help="Id of the token, as the list shows it.")]
Expires = Annotated[str | None, typer.Option("--expires", help="When it ends by itself, as 2030-01-31T12:00:00Z.")]
Grace = Annotated[int, typer.Option("--grace", min=0, max=86_400, help="Seconds until the old one ends.")]


@app.command(name="list")
def list_(
    workspace: Workspace,
    *,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Show the live tokens, without their texts."""
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        answer = plane.request(
            "GET", f"/workspaces/{workspaces.find_workspace(plane, workspace)}/tokens", query={"limit": 200}
        )
    if print_for_scripts(output, answer, [token["id"] for token in answer["tokens"]]):
        return
    print_tokens(answer["tokens"], {"NOTE": "note"}, if_none="no live tokens: molecule tokens mint makes one")


@app.command()
def mint(
    workspace: Workspace,
    *,
    note: Annotated[str, typer.Option("--note", help="What it is for.")] = "",
    expires: Expires = None,
) -> None:
    """Make a further token and print it, once."""
    from molecule_cli import plane_client, settings

    body = {"note": note} | ({"expires_at": expires} if expires else {})
    with plane_client.open_plane(settings.load_settings()) as plane:
        print_token(
            plane.request("POST", f"/workspaces/{workspaces.find_workspace(plane, workspace)}/tokens", body=body)
        )


@app.command()
def revoke(workspace: Workspace, token: Token) -> None:
    """End a token now."""
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        plane.request("DELETE", f"/workspaces/{workspaces.find_workspace(plane, workspace)}/tokens/{token}")
    terminal.print_line("revoked; requests that present it are refused within a second")


@app.command()
def rotate(workspace: Workspace, token: Token, *, grace: Grace = GRACE_SECONDS) -> None:
    """Replace a token by a new one; the old one stays valid for the grace period."""
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        path = f"/workspaces/{workspaces.find_workspace(plane, workspace)}/tokens/{token}/rotate"
        print_token(plane.request("POST", path, body={"grace_seconds": grace}))


def print_token(token: dict[str, Any]) -> None:
    """Print the token to standard output, for scripts, and the advice for people to standard error."""
    terminal.print_line("keep it: it is not shown again. Send it as `Authorization: Bearer <token>`.", to_stderr=True)
    if "previous_expires_at" in token:
        terminal.print_line(f"the old one ends at {token['previous_expires_at'][:19]}Z", to_stderr=True)
    typer.echo(token["auth_token"])


def print_tokens(tokens: list[dict[str, Any]], extra_columns: dict[str, str], *, if_none: str) -> None:
    """Print the table of tokens; `extra_columns` maps further headings to members of a token."""
    from molecule_cli import tables

    if not tokens:
        terminal.print_line(if_none)
        return
    headings = ("PREFIX", *extra_columns, "MADE", "USED", "ENDS", "ID")
    columns = [tables.Column(heading, flexible=heading in extra_columns and heading != "ORG") for heading in headings]
    tables.print_table(columns, [_build_row(token, extra_columns) for token in tokens])


def _build_row(token: dict[str, Any], extra_columns: dict[str, str]) -> tuple[str, ...]:
    times = [(token.get(name) or "-")[:19] for name in ("created_at", "last_used_at", "expires_at")]
    values = [_format_value(token.get(name)) for name in extra_columns.values()]
    return (token["prefix"], *values, *times, token["id"])


def _format_value(value: object) -> str:
    return " ".join(value) if isinstance(value, list) else str(value or "")
