"""`molecule org-tokens`: manages the tokens of organisations."""

from typing import Annotated, Any

import typer

from molecule_cli import terminal, tokens, workspaces
from molecule_cli.choices import check_choices
from molecule_cli.command_app import CommandApp
from molecule_cli.output import Output, OutputFormat, print_for_scripts
from molecule_cli.tokens import GRACE_SECONDS, Expires, Grace, Token

app = CommandApp(help="Tokens of organisations: list, mint, revoke, rotate.")

Org = Annotated[str | None, typer.Option("--org", help="Name or id of the root; with an org token, its own.")]


SCOPES = ("read", "write", "a2a", "admin")


def _check_scopes(values: list[str] | None) -> list[str] | None:
    """Return the scopes that a person names; the command ends with a usage error for another word."""
    check_choices(values or [], SCOPES)
    return values


COLUMNS = {"NAME": "name", "SCOPES": "scopes", "MADE BY": "created_by", "ORG": "org_id"}


@app.command(name="list")
def list_(
    *,
    org: Org = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Show the live tokens, without their texts."""
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        answer = plane.request(
            "GET", "/org/tokens", query={"org_id": workspaces.find_workspace(plane, org) if org else None}
        )
    if print_for_scripts(output, answer, [token["id"] for token in answer["tokens"]]):
        return
    tokens.print_tokens(answer["tokens"], COLUMNS, if_none="no live tokens: molecule org-tokens mint makes one")


@app.command()
def mint(
    *,
    org: Org = None,
    name: Annotated[str, typer.Option("--name", help="What it is called.")] = "",
    scope: Annotated[
        list[str] | None,
        typer.Option(
            "--scope", callback=_check_scopes, help="read, write, a2a or admin; repeatable. Without: all but admin."
        ),
    ] = None,
    expires: Expires = None,
) -> None:
    """Make a token and print it, once."""
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        body: dict[str, Any] = {"name": name, "scopes": scope or []}
        if org:
            body["org_id"] = workspaces.find_workspace(plane, org)
        if expires:
            body["expires_at"] = expires
        tokens.print_token(plane.request("POST", "/org/tokens", body=body))


@app.command()
def revoke(token: Token) -> None:
    """End a token now, and every browser session that was opened with it."""
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        plane.request("DELETE", f"/org/tokens/{token}")
    terminal.print_line("revoked; requests that present it are refused within a second")


@app.command()
def rotate(token: Token, *, grace: Grace = GRACE_SECONDS) -> None:
    """Replace a token by a new one; the old one stays valid for the grace period."""
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        tokens.print_token(plane.request("POST", f"/org/tokens/{token}/rotate", body={"grace_seconds": grace}))
