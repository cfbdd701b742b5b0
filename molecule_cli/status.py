"""`molecule status`: shows the services of the plane and every workspace with its status and the cause."""

import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from molecule_cli import terminal


def status(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print what the plane answers, as JSON.")] = False
) -> None:
    """Show every workspace with its status and the cause, and the services of the plane."""
    from rich.console import Console
    from rich.text import Text

    from molecule_cli import plane_client, settings, tables, workspace_table, workspaces

    cli_settings = settings.load_settings()
    with plane_client.open_plane(cli_settings) as plane:
        checks = plane.checks()
        found = workspaces.add_explanations(plane, workspaces.list_workspaces(plane))
    if as_json:
        health = {name: check["status"] for name, check in checks.items()}
        typer.echo(json.dumps({"health": health, "workspaces": found}))
        return
    line = Text(f"{cli_settings.url}  ")
    for name, check in checks.items():
        is_ok = check["status"] == "ok"
        line.append(terminal.escape_controls(f"{name} {check['status']}") + "  ", "green" if is_ok else "red")
    Console(soft_wrap=True).print(line)
    for name, check in checks.items():
        if check["status"] != "ok" and (cause := check.get("detail")):
            terminal.print_line(f"{name}: {cause}")
    terminal.print_line()
    if found:
        tables.print_table(workspace_table.COLUMNS, workspace_table.build_rows(found, now=datetime.now(UTC)))
    else:
        terminal.print_line("no workspaces yet: POST /workspaces makes one")
