"""The `molecule` command. Each command imports its dependencies when it runs, which keeps `--help` fast."""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from molecule_cli import (
    audit,
    delegations,
    events,
    files,
    images,
    lifecycle,
    logs,
    org,
    org_tokens,
    plugins,
    queue,
    schedules,
    search,
    secrets,
    send,
    status,
    terminal,
    tokens,
    vault,
)
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
app.add_typer(queue.app, name="queue")
app.add_typer(delegations.app, name="delegations")
app.add_typer(schedules.app, name="schedules")
app.command()(events.events)
lifecycle.register(app)
app.command()(search.search)
app.command()(send.send)
app.command()(status.status)
app.command()(logs.logs)
app.add_typer(org.app, name="org")
app.add_typer(files.app, name="files")
app.add_typer(images.app, name="images")
app.add_typer(plugins.app, name="plugins")
app.add_typer(secrets.app, name="secrets")
app.add_typer(tokens.app, name="tokens")
app.add_typer(org_tokens.app, name="org-tokens")
app.add_typer(vault.app, name="vault")

STOP_TIMEOUT_SECONDS = 120.0
"""Long enough for the grace periods of all processes, one after the other."""

AsJson = Annotated[bool, typer.Option("--json", help="Print what the plane answers, as JSON.")]


def main() -> None:
    """Run the command. A `CliError` becomes one line on stderr and its exit code, and so does an output that fails."""
    terminal.escape_unencodable_characters()
    try:
        _require_text(sys.argv)
        app()
    except CliError as error:
        terminal.print_line(f"molecule: {error}", to_stderr=True)
        sys.exit(error.exit_code)
    except OSError as error:
        terminal.discard_output()
        name = f"{error.filename} cannot be used" if error.filename else "the output cannot be written"
        terminal.print_line(f"molecule: {name}: {error.strerror or error}", to_stderr=True)
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
            seconds = f"{STOP_TIMEOUT_SECONDS:.0f} s"
            message = f"the plane in {layout.home} (pid {pid}) did not stop in {seconds}: molecule down waits again"
            raise CliError(message)
    except StartError as error:
        raise CliError(str(error)) from error
    except OSError as error:
        message = f"the plane in {layout.home} cannot be stopped: {error.strerror}; MOLECULE_HOME names another home"
        raise CliError(message) from error
    terminal.print_line("stopped")


@app.command()
def reset(*, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """
    Remove the stopped plane of MOLECULE_HOME: instances, containers, volumes, database, keys and logs.

    Templates and plugins in the home stay. With DATABASE_URL its schemas are dropped.
    """
    from deploy import reset as deployment
    from deploy.errors import StartError

    settings = _load_deployment_settings()
    try:
        layout = deployment.find_plane(settings)
        if not yes:
            typer.confirm(f"Remove every workspace, message and key of the plane in {layout.home}?", abort=True)
        removed = deployment.reset(settings)
    except StartError as error:
        raise CliError(str(error)) from error
    for line in removed:
        terminal.print_line(f"removed: {line}")
    terminal.print_line("the plane is gone; molecule up starts an empty one")


@app.command()
def templates(*, as_json: AsJson = False) -> None:
    """Show the templates that workspaces can be made from, and the problems of the others."""
    org.show_templates(as_json=as_json)


@app.command()
def migrate() -> None:
    """Make or update roles, schemas and tables in the PostgreSQL of DATABASE_URL."""
    import asyncio

    from deploy import migrations, roles
    from deploy.errors import StartError

    settings = _load_deployment_settings()
    url, prefix = settings.database_url, settings.database_role_prefix
    if url is None:
        message = "DATABASE_URL is not set: name the PostgreSQL to migrate; molecule up migrates its own"
        raise CliError(message)
    try:
        asyncio.run(roles.apply_roles(url.get_secret_value(), prefix=prefix))
        asyncio.run(migrations.migrate_all(url.get_secret_value(), prefix=prefix))
    except StartError as error:
        raise CliError(str(error)) from error
    terminal.print_line("up to date")


@app.command()
def certs(
    directory: Annotated[Path, typer.Argument(help="Directory for the files; a ca.pem in it is used again.")],
    *,
    host: Annotated[
        list[str] | None, typer.Option(help="A name or address at which services are called; repeatable.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long the services' certificates last.")] = 397,
) -> None:
    """Make an authority and a certificate for each service, for mutual TLS between machines."""
    from deploy import certs as certificates
    from deploy.errors import StartError

    try:
        report = certificates.create_certificates(directory, hosts=host or [], validity=timedelta(days=days))
    except OSError as error:
        message = f"certificates cannot be written to {directory}: {error.strerror}; name another directory"
        raise CliError(message) from error
    except StartError as error:
        raise CliError(str(error)) from error
    action = "renewed under the authority" if report.is_renewal else "written with a new authority"
    terminal.print_line(f"{action} in {directory}, valid until {report.valid_until:%Y-%m-%d}")
    terminal.print_line(f"hosts besides localhost and the names of the services: {', '.join(report.hosts) or 'none'}")
    if report.kept_hosts:
        terminal.print_line(
            f"kept from before: {', '.join(report.kept_hosts)}; to drop them, remove the service certificates"
        )
    terminal.print_line("restart the services with the new files; keep ca-key.pem off the machines of the plane")


def _require_text(arguments: list[str]) -> None:
    """Raise `CliError` for an argument that the locale cannot decode; Python replaces its bytes by surrogates."""
    for number, argument in enumerate(arguments):
        try:
            argument.encode()
        except UnicodeEncodeError:
            message = f"argument {number} is not valid text in this locale ({sys.getfilesystemencoding()}): use UTF-8"
            raise CliError(message) from None


def _load_deployment_settings() -> Any:  # noqa: ANN401 - naming the type would import it for --help
    from deploy import settings
    from deploy.errors import StartError

    try:
        return settings.load_up_settings()
    except StartError as error:
        raise CliError(str(error)) from error


if __name__ == "__main__":
    main()
