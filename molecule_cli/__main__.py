"""The `molecule` command. Each command imports its dependencies when it runs, which keeps `--help` fast."""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from molecule_cli import audit, events, lifecycle, logs, org, org_tokens, search, secrets, tokens, vault
from molecule_cli.errors import CliError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help=(
        "Molecule: a control plane for teams of AI agents.\n\n"
        "Start a plane with [bold]molecule up[/], look at it with [bold]molecule status[/], "
        'talk to an agent with [bold]molecule send lead "hello"[/].\n\n'
        "The plane is found at MOLECULE_URL, on this machine at PORT, or where the plane of MOLECULE_HOME runs. "
        "A plane that asks for a token gets MOLECULE_TOKEN, or ADMIN_TOKEN."
    ),
)

app.add_typer(audit.app, name="audit")
app.command()(events.events)
lifecycle.register(app)
app.command()(search.search)
app.command()(logs.logs)
app.add_typer(org.app, name="org")
app.add_typer(secrets.app, name="secrets")
app.add_typer(tokens.app, name="tokens")
app.add_typer(org_tokens.app, name="org-tokens")
app.add_typer(vault.app, name="vault")

STOP_TIMEOUT_SECONDS = 120.0
"""Long enough for the grace periods of all processes, one after the other."""

AsJson = Annotated[bool, typer.Option("--json", help="Print what the plane answers, as JSON.")]


def main() -> None:
    """Run the command. A `CliError` becomes one line on stderr and exit code 1."""
    try:
        app()
    except CliError as error:
        print(f"molecule: {error}", file=sys.stderr)  # noqa: T201 - a command writes to its terminal
        sys.exit(1)


@app.command()
def up() -> None:
    """
    Start the whole plane on this machine and stay until Ctrl-C.

    Variables: PORT, BACKEND=process|none, DEMO=0, MOLECULE_HOME, DATABASE_URL, ADMIN_TOKEN.
    """
    from deploy import up as deployment

    raise typer.Exit(deployment.main())


@app.command()
def down() -> None:
    """Stop the plane that runs in MOLECULE_HOME, and wait until it is gone."""
    from deploy import lock
    from deploy.errors import StartError
    from deploy.layout import Layout

    try:
        layout = Layout.for_home(_load_deployment_settings().molecule_home)
        if lock.find_holder(layout.lock) is None:
            message = f"no plane runs in {layout.home}: MOLECULE_HOME names another home"
            raise CliError(message)
        if not lock.stop_holder(layout.lock, timeout=STOP_TIMEOUT_SECONDS):
            pid = lock.find_holder(layout.lock)
            message = f"the plane in {layout.home} (pid {pid}) did not stop in {STOP_TIMEOUT_SECONDS:.0f} s"
            raise CliError(message)
    except StartError as error:
        raise CliError(str(error)) from error
    except OSError as error:
        message = f"the plane in {layout.home} cannot be stopped: {error.strerror}; MOLECULE_HOME names another home"
        raise CliError(message) from error
    typer.echo("stopped")


@app.command()
def status(*, as_json: AsJson = False) -> None:
    """Show every workspace with how it is and why, and the services of the plane."""
    from rich.console import Console

    from molecule_cli import plane_client, settings, workspace_table

    cli_settings = settings.load_settings()
    with plane_client.open_plane(cli_settings) as plane:
        health, workspaces = plane.health(), plane.workspaces()
    if as_json:
        typer.echo(json.dumps({"health": health, "workspaces": workspaces}))
        return
    console = Console()
    checks = "  ".join(f"[{'green' if state == 'ok' else 'red'}]{name} {state}[/]" for name, state in health.items())
    console.print(f"{cli_settings.url}  {checks}\n")
    if workspaces:
        console.print(workspace_table.build_table(workspaces, now=datetime.now(UTC)))
    else:
        console.print("no workspaces yet: POST /workspaces makes one")


@app.command()
def send(
    workspace: Annotated[str, typer.Argument(help="Name or id of the workspace.")],
    text: Annotated[str, typer.Argument(help="What to say.")],
    *,
    stream: Annotated[bool, typer.Option("--stream", help="Print the reply as it arrives.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send a message to the agent of a workspace and print its reply."""
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        workspace_id = plane.find(workspace)
        if stream:
            _print_stream(plane.stream(workspace_id, text), as_json=as_json)
        else:
            _print_answer(plane.send(workspace_id, text), as_json=as_json)


@app.command()
def templates(*, as_json: AsJson = False) -> None:
    """Show the templates that workspaces can be made from, and what is wrong with the rest."""
    org.show_templates(as_json=as_json)


@app.command()
def migrate() -> None:
    """Make or update roles, schemas and tables in the PostgreSQL of DATABASE_URL."""
    import asyncio

    from deploy import migrations, roles
    from deploy.errors import StartError

    url = _load_deployment_settings().database_url
    if url is None:
        message = "DATABASE_URL is not set: name the PostgreSQL to migrate; molecule up migrates its own"
        raise CliError(message)
    try:
        asyncio.run(roles.apply_roles(url.get_secret_value()))
        asyncio.run(migrations.migrate_all(url.get_secret_value()))
    except StartError as error:
        raise CliError(str(error)) from error
    typer.echo("up to date")


@app.command()
def certs(
    directory: Annotated[Path, typer.Argument(help="Where to write them; its ca.pem is used again if there is one.")],
    *,
    host: Annotated[
        list[str] | None, typer.Option(help="A name or address services are dialled at; repeatable.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, help="How long the services' certificates last.")] = 397,
) -> None:
    """Make an authority and a certificate for each service, for mutual TLS between machines."""
    from deploy import certs as certificates

    try:
        certificates.create_certificates(directory, hosts=host or [], validity=timedelta(days=days))
    except OSError as error:
        message = f"certificates cannot be written to {directory}: {error.strerror}"
        raise CliError(message) from error
    typer.echo(f"written to {directory}; keep ca-key.pem off the machines of the plane")


def _load_deployment_settings() -> Any:  # noqa: ANN401 - naming the type would import it for --help
    from deploy import settings
    from deploy.errors import StartError

    try:
        return settings.load_up_settings()
    except StartError as error:
        raise CliError(str(error)) from error


def _print_answer(answer: dict[str, Any], *, as_json: bool) -> None:
    from molecule_cli import answer_text

    if as_json:
        typer.echo(json.dumps(answer))
    elif isinstance(answer.get("result"), dict):
        typer.echo(answer_text.extract_answer(answer["result"]))
    else:
        typer.echo(f"not answered yet: {answer.get('message') or answer.get('status')} ({answer.get('queue_id')})")


def _print_stream(events: Any, *, as_json: bool) -> None:  # noqa: ANN401 - an iterator of JSON
    from molecule_cli import answer_text

    for event in events:
        if as_json:
            typer.echo(json.dumps(event))
        else:
            result = event.get("result") or {}
            typer.echo(answer_text.extract_event(result), nl=False)
    if not as_json:
        typer.echo()


if __name__ == "__main__":
    main()
