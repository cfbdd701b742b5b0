"""`molecule audit`: lists audit records and verifies their hash chain."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molecule_cli import terminal, workspaces
from molecule_cli.command_app import CommandApp
from molecule_cli.errors import CliError
from molecule_cli.output import Output, OutputFormat, print_for_scripts

if TYPE_CHECKING:
    from molecule_cli.plane_client import PlaneClient

HEADINGS = ("PLACE", "AT", "ACTOR", "ACTION", "TARGET", "DETAILS")

FAULTS = {
    "record_missing": "it was removed from the database",
    "key_missing": "it is linked without AUDIT_LEDGER_SALT, which was in force by then",
    "key_replaced": "it is linked with another AUDIT_LEDGER_SALT than the one in force by then",
    "key_start_forged": "the mark that AUDIT_LEDGER_SALT came into force here was forged",
    "checkpoint_forged": "the records up to it were removed without AUDIT_LEDGER_SALT",
}
"""What is wrong at a place, by the code of the plane."""

app = CommandApp(help="The audit log: what was done to workspaces, tokens and secrets.")


@app.command(name="list")
def list_(
    workspace: Annotated[str | None, typer.Argument(help="Name or id of a workspace; all if left out.")] = None,
    *,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many records, the newest first.")] = 50,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Show the newest records."""
    from molecule_cli import plane_client, settings, tables

    with plane_client.open_plane(settings.load_settings()) as plane:
        workspace_id = workspaces.find_workspace(plane, workspace) if workspace else None
        records = plane.request("GET", "/audit", query={"limit": limit, "workspace_id": workspace_id})
    if print_for_scripts(output, records, [record["place"] for record in records]):
        return
    if not records:
        terminal.print_line("nothing was done yet")
        return
    columns = [tables.Column(heading, flexible=heading == "DETAILS") for heading in HEADINGS]
    tables.print_table(columns, _build_rows(records))


@app.command()
def verify(
    head: Annotated[
        str | None, typer.Option(help="PLACE:DIGEST as an earlier verify printed it: it must still be there.")
    ] = None,
) -> None:
    """
    Check the whole chain of records, and say whether one was changed.

    Store the head that it prints elsewhere: it reveals whether records were removed at the end.
    """
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        if head:
            _check_head(plane, head)
        verification: dict[str, Any] = {"place": 0, "complete": False}
        while not verification["complete"]:
            verification = plane.request("GET", "/audit/verification", query={"after_place": verification["place"]})
    _raise_unless_intact(verification)
    place, digest = verification["place"], verification["digest"]
    terminal.print_line(f"intact: {place} records, head {place}:{digest}")


def _check_head(plane: "PlaneClient", head: str) -> None:
    place, colon, digest = head.partition(":")
    if not (place.isascii() and place.isdigit() and int(place) and colon):
        message = f"{head} is no head: give PLACE:DIGEST as molecule audit verify printed it"
        raise CliError(message)
    records = plane.request("GET", "/audit", query={"after_place": int(place) - 1, "limit": 1})
    if records and records[0]["place"] > int(place):
        message = (
            f"record {place} is not stored any more, only those from {records[0]['place']} on (AUDIT_RETENTION_DAYS,"
            " AUTH_MAX_AUDIT_RECORDS): verify without --head, and keep the head that it prints"
        )
        raise CliError(message)
    if not records or records[0]["digest"] != digest.lower():
        message = f"the chain does not contain {head} any more: it was cut off or written anew"
        raise CliError(message)


def _raise_unless_intact(verification: dict[str, Any]) -> None:
    match verification["verdict"]:
        case "intact":
            return
        case "uncheckable":
            message = (
                f"record {verification['place']} was linked with another AUDIT_LEDGER_SALT:"
                " start the plane with that one"
            )
        case _:
            fault = FAULTS.get(verification.get("fault", ""), "it or one before it was changed in the database")
            message = f"the chain is broken at record {verification['place']}: {fault}"
    raise CliError(message)


def _build_rows(records: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    for record in records:
        target = " ".join(filter(None, (record["workspace_id"], record["subject"])))
        details = ", ".join(f"{name}={value}" for name, value in record["details"].items())
        yield str(record["place"]), record["at"][:19], record["actor"], record["action"], target, details
