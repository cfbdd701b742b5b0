"""`molecule audit`: who did what, and whether the record of it holds."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molecule_cli.errors import CliError

if TYPE_CHECKING:
    from rich.table import Table

    from molecule_cli.plane_client import PlaneClient

app = typer.Typer(no_args_is_help=True, help="Who did what to which workspace, token or secret.")


@app.command(name="list")
def list_(
    workspace: Annotated[str | None, typer.Argument(help="Name or id of a workspace; all if left out.")] = None,
    *,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many deeds, the newest first.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print what the plane answers, as JSON.")] = False,
) -> None:
    """Show the newest deeds."""
    from rich.console import Console

    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as found:
        about = found.find(workspace) if workspace else None
        deeds = found.ask("GET", "/audit", query={"limit": limit, "workspace_id": about})
    if as_json:
        typer.echo(json.dumps(deeds))
        return
    Console().print(_table(deeds) if deeds else "nothing was done yet")


@app.command()
def verify(
    head: Annotated[
        str | None, typer.Option(help="PLACE:DIGEST as an earlier verify printed it: it must still be there.")
    ] = None,
) -> None:
    """
    Follow the whole chain of deeds and say whether it is as it was recorded.

    Keep the head it prints: a chain that was cut off at its end shows by that alone.
    """
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as found:
        if head:
            _check_head(found, head)
        said: dict[str, Any] = {"place": 0, "complete": False}
        while not said["complete"]:
            said = found.ask("GET", "/audit/verification", query={"after_place": said["place"]})
    _judge(said)
    typer.echo(f"intact: {said['place']} deeds, head {said['place']}:{said['digest']}")


def _check_head(found: "PlaneClient", head: str) -> None:
    place, colon, digest = head.partition(":")
    if not (place.isdecimal() and int(place) and colon):
        message = f"{head} is no head: give PLACE:DIGEST as molecule audit verify printed it"
        raise CliError(message)
    deeds = found.ask("GET", "/audit", query={"after_place": int(place) - 1, "limit": 1})
    if not deeds or deeds[0]["digest"] != digest.lower():
        message = f"the chain does not contain {head} any more: it was cut off or written anew"
        raise CliError(message)


def _judge(said: dict[str, Any]) -> None:
    match said["verdict"]:
        case "intact":
            return
        case "uncheckable":
            message = f"deed {said['place']} was linked with another AUDIT_LEDGER_SALT: start the plane with that one"
        case _:
            message = f"the chain is broken at deed {said['place']}: it or one before it was changed in the database"
    raise CliError(message)


def _table(deeds: list[dict[str, Any]]) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("PLACE", "AT", "ACTOR", "ACTION", "DONE TO", "DETAILS"):
        table.add_column(heading, no_wrap=heading != "DETAILS", overflow="fold")
    for deed in deeds:
        done_to = " ".join(filter(None, (deed["workspace_id"], deed["subject"])))
        details = ", ".join(f"{name}={value}" for name, value in deed["details"].items())
        cells = (deed["place"], deed["at"][:19], deed["actor"], deed["action"], done_to, details)
        table.add_row(*(escape(str(cell)) for cell in cells))
    return table
