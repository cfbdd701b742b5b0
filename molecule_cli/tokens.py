"""`molecule tokens`: the tokens of one workspace. A fresh one is all that goes to standard output."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(no_args_is_help=True, help="Tokens of one workspace: list, mint, revoke, rotate.")

GRACE = 300
"""Seconds that a rotated token lives on, unless said otherwise."""

Workspace = Annotated[str, typer.Argument(help="Name or id of the workspace.")]
Token = Annotated[str, typer.Argument(help="Id of the token, as the list shows it.")]
Expires = Annotated[str | None, typer.Option("--expires", help="When it ends by itself, as 2030-01-31T12:00:00Z.")]
Grace = Annotated[int, typer.Option("--grace", min=0, max=86_400, help="Seconds until the old one ends.")]


@app.command(name="list")
def list_(
    workspace: Workspace,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print what the plane answers, as JSON.")] = False,
) -> None:
    """Show the live tokens; nobody is shown their texts."""
    from rich.console import Console

    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as found:
        answer = found.ask("GET", f"/workspaces/{found.find(workspace)}/tokens", query={"limit": 200})
    if as_json:
        typer.echo(json.dumps(answer))
        return
    shown = build_table(answer["tokens"], {"NOTE": "note"})
    Console().print(shown if answer["tokens"] else "no live tokens: molecule tokens mint makes one")


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
    with plane_client.open_plane(settings.load_settings()) as found:
        print_token(found.ask("POST", f"/workspaces/{found.find(workspace)}/tokens", body=body))


@app.command()
def revoke(workspace: Workspace, token: Token) -> None:
    """End a token now."""
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as found:
        found.ask("DELETE", f"/workspaces/{found.find(workspace)}/tokens/{token}")
    typer.echo("revoked; whoever shows it is refused within a second")


@app.command()
def rotate(workspace: Workspace, token: Token, *, grace: Grace = GRACE) -> None:
    """Put a fresh token in the place of one, which lives on for a grace."""
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as found:
        path = f"/workspaces/{found.find(workspace)}/tokens/{token}/rotate"
        print_token(found.ask("POST", path, body={"grace_seconds": grace}))


def print_token(fresh: dict[str, Any]) -> None:
    """Print a token where a script can take it, and what to do with it where a person reads it."""
    typer.echo("keep it: it is not shown again. Show it as `Authorization: Bearer <token>`.", err=True)
    if "previous_expires_at" in fresh:
        typer.echo(f"the old one ends at {fresh['previous_expires_at'][:19]}Z", err=True)
    typer.echo(fresh["auth_token"])


def build_table(tokens: list[dict[str, Any]], special: dict[str, str]) -> "Table":
    """Tokens as people read them; `special` names the columns of their kind."""
    from rich.markup import escape
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("PREFIX", *special, "MADE", "USED", "ENDS", "ID"):
        shown.add_column(heading, no_wrap=heading not in special, overflow="fold")
    for token in tokens:
        times = [(token.get(name) or "-")[:19] for name in ("created_at", "last_used_at", "expires_at")]
        named = [escape(_text(token.get(name))) for name in special.values()]
        shown.add_row(token["prefix"], *named, *times, token["id"])
    return shown


def _text(value: object) -> str:
    return " ".join(value) if isinstance(value, list) else str(value or "")
