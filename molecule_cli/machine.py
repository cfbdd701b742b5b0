"""The commands about a plane on this machine: `molecule up`, `down`, `reset`, `migrate` and `certs`."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from molecule_cli import terminal
from molecule_cli.errors import CliError
from molecule_cli.questions import Yes, require_consent

STOP_TIMEOUT_SECONDS = 120.0
"""Long enough for the grace periods of all processes, one after the other."""


def up(
    *,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when the plane is ready; it runs on without this terminal.")
    ] = False,
) -> None:
    """
    Start the whole plane on this machine and stay until Ctrl-C.

    Variables: PORT, BACKEND=process|docker|none, DEMO=0, MOLECULE_HOME, DATABASE_URL, ADMIN_TOKEN.
    """
    if detach:
        from molecule_cli import background

        background.start_plane()
        return
    from deploy import up as deployment

    raise typer.Exit(deployment.main())


def down() -> None:
    """Stop the plane that runs in MOLECULE_HOME, and wait until it is gone."""
    from deploy import lock
    from deploy.errors import StartError
    from deploy.layout import Layout

    try:
        layout = Layout.for_home(load_deployment_settings().molecule_home)
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
    terminal.print_note("stopped")


def reset(*, yes: Yes = False) -> None:
    """
    Remove the stopped plane of MOLECULE_HOME: instances, containers, volumes, database, keys and logs.

    Templates and plugins in the home stay. With DATABASE_URL its schemas are dropped.
    """
    from deploy import reset as deployment
    from deploy.errors import StartError

    settings = load_deployment_settings()
    try:
        layout = deployment.find_plane(settings)
        require_consent(f"remove every workspace, message and key of the plane in {layout.home}", yes=yes)
        removed = deployment.reset(settings)
    except StartError as error:
        raise CliError(str(error)) from error
    for line in removed:
        terminal.print_note(f"removed: {line}")
    terminal.print_note("the plane is gone; molecule up starts an empty one")


def migrate() -> None:
    """Make or update roles, schemas and tables in the PostgreSQL of DATABASE_URL."""
    import asyncio

    from deploy import migrations, roles
    from deploy.errors import StartError

    settings = load_deployment_settings()
    url, prefix = settings.database_url, settings.database_role_prefix
    if url is None:
        message = "DATABASE_URL is not set: name the PostgreSQL to migrate; molecule up migrates its own"
        raise CliError(message)
    try:
        asyncio.run(roles.apply_roles(url.get_secret_value(), prefix=prefix))
        asyncio.run(migrations.migrate_all(url.get_secret_value(), prefix=prefix))
    except StartError as error:
        raise CliError(str(error)) from error
    terminal.print_note("up to date")


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
    terminal.print_note(f"{action} in {directory}, valid until {report.valid_until:%Y-%m-%d}")
    terminal.print_note(f"hosts besides localhost and the names of the services: {', '.join(report.hosts) or 'none'}")
    if report.kept_hosts:
        terminal.print_note(
            f"kept from before: {', '.join(report.kept_hosts)}; to drop them, remove the service certificates"
        )
    terminal.print_note("restart the services with the new files; keep ca-key.pem off the machines of the plane")


def load_deployment_settings() -> Any:  # noqa: ANN401 - naming the type would import it for --help
    """Return the settings of `molecule up`. Raises `CliError` with the variable that is wrong."""
    from deploy import settings
    from deploy.errors import StartError

    try:
        return settings.load_up_settings()
    except StartError as error:
        raise CliError(str(error)) from error
