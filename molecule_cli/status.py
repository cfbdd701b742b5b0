"""`molecule status`: shows the services of the plane and every workspace with its status and the cause."""

from datetime import UTC, datetime

from molecule_cli import terminal
from molecule_cli.output import Output, OutputFormat, print_for_scripts


def status(*, output: Output = OutputFormat.TABLE) -> None:
    """Show every workspace with its status and the cause, and the services of the plane."""
    from rich.console import Console
    from rich.text import Text

    from molecule_cli import plane_client, settings, tables, workspace_paths, workspace_table, workspaces

    cli_settings = settings.load_settings()
    with plane_client.open_plane(cli_settings) as plane:
        checks = plane.checks()
        found = workspaces.add_explanations(plane, workspaces.list_workspaces(plane))
    answer = {"health": {name: check["status"] for name, check in checks.items()}, "workspaces": found}
    if print_for_scripts(output, answer, workspace_paths.build_paths(found).values()):
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
        terminal.print_line("no workspaces yet: molecule ws create NAME makes one, molecule org import demo a team")
