"""`molecule audit`: lists audit records and verifies their hash chain."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molecule_cli.errors import CliError

if TYPE_CHECKING:
    from rich.table import Table

    from molecule_cli.plane_client import PlaneClient

FAULTS = {
    "record_missing": "it was removed from the database",
    "key_missing": "it is linked without AUDIT_LEDGER_SALT, which was in force by then",
    "key_replaced": "it is linked with another AUDIT_LEDGER_SALT than the one in force by then",
    "key_start_forged": "the note that AUDIT_LEDGER_SALT came into force here was forged",
    "checkpoint_forged": "the deeds up to it were removed by somebody without AUDIT_LEDGER_SALT",
}
"""What is wrong at a place, by the code of the plane."""

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

    with plane_client.open_plane(settings.load_settings()) as plane:
        workspace_id = plane.find(workspace) if workspace else None
        records = plane.request("GET", "/audit", query={"limit": limit, "workspace_id": workspace_id})
    if as_json:
        typer.echo(json.dumps(records))
        return
    Console().print(_build_table(records) if records else "nothing was done yet")


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

    with plane_client.open_plane(settings.load_settings()) as plane:
        if head:
            _check_head(plane, head)
        verification: dict[str, Any] = {"place": 0, "complete": False}
        while not verification["complete"]:
            verification = plane.request("GET", "/audit/verification", query={"after_place": verification["place"]})
    _raise_unless_intact(verification)
    typer.echo(f"intact: {verification['place']} deeds, head {verification['place']}:{verification['digest']}")


def _check_head(plane: "PlaneClient", head: str) -> None:
    place, colon, digest = head.partition(":")
    if not (place.isdecimal() and int(place) and colon):
        message = f"{head} is no head: give PLACE:DIGEST as molecule audit verify printed it"
        raise CliError(message)
    records = plane.request("GET", "/audit", query={"after_place": int(place) - 1, "limit": 1})
    if not records or records[0]["digest"] != digest.lower():
        message = f"the chain does not contain {head} any more: it was cut off or written anew"
        raise CliError(message)


def _raise_unless_intact(verification: dict[str, Any]) -> None:
    match verification["verdict"]:
        case "intact":
            return
        case "uncheckable":
            message = (
                f"deed {verification['place']} was linked with another AUDIT_LEDGER_SALT: start the plane with that one"
            )
        case _:
            fault = FAULTS.get(verification.get("fault", ""), "it or one before it was changed in the database")
            message = f"the chain is broken at deed {verification['place']}: {fault}"
    raise CliError(message)


def _build_table(records: list[dict[str, Any]]) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("PLACE", "AT", "ACTOR", "ACTION", "DONE TO", "DETAILS"):
        table.add_column(heading, no_wrap=heading != "DETAILS", overflow="fold")
    for record in records:
        target = " ".join(filter(None, (record["workspace_id"], record["subject"])))
        details = ", ".join(f"{name}={value}" for name, value in record["details"].items())
        cells = (record["place"], record["at"][:19], record["actor"], record["action"], target, details)
        table.add_row(*(escape(str(cell)) for cell in cells))
    return table
