"""The `molecule` command. Each command imports its dependencies when it runs, which keeps `--help` fast."""

import sys
from typing import Annotated

import typer

from molecule_cli import (
    audit,
    backup,
    chat,
    config,
    connect,
    delegate,
    delegations,
    doctor,
    events,
    files,
    images,
    lifecycle,
    logs,
    machine,
    open_page,
    org,
    org_tokens,
    plugins,
    queue,
    release,
    schedules,
    search,
    secrets,
    send,
    settings,
    status,
    terminal,
    tokens,
    vault,
    watch,
    ws,
)
from molecule_cli.command_app import CommandApp
from molecule_cli.errors import CliError
from molecule_cli.output import Output, OutputFormat

PLANE = "The plane on this machine"
LOOK = "See what happens"
TALK = "Talk to agents"
TEAM = "Workspaces and organisations"
ACCESS = "Access"
CLIENT = "This command"

app = CommandApp(
    add_completion=True,
    help=(
        "Molecule: a control plane for teams of AI agents.\n\n"
        "Start a plane with [bold]molecule up[/], look at it with [bold]molecule status[/], "
        'talk to an agent with [bold]molecule send lead "hello"[/].\n\n'
        "The plane is found at MOLECULE_URL, on this machine at PORT, where the plane of MOLECULE_HOME runs, or by the "
        "current context of [bold]molecule config[/]. A plane that asks for a token gets MOLECULE_TOKEN, "
        "or ADMIN_TOKEN.\n\n"
        "If something does not work, [bold]molecule doctor[/] says what, why, and what to do."
    ),
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the value of the option
    if wanted:
        terminal.print_line(f"molecule {release.read_version()}")
        raise typer.Exit


@app.callback()
def main_options(
    *,
    context: Annotated[
        str, typer.Option("--context", metavar="NAME", help="Use this context of molecule config.")
    ] = "",
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Choose the plane for the command that follows."""
    settings.choose_context(context)


def templates(*, output: Output = OutputFormat.TABLE) -> None:
    """Show the templates that workspaces can be made from, and the problems of the others."""
    org.show_templates(output=output)


app.command(rich_help_panel=PLANE, examples=("molecule up", "molecule up -d", "PORT=9000 molecule up"))(machine.up)
app.command(rich_help_panel=PLANE)(machine.down)
app.command(rich_help_panel=PLANE, examples=("molecule doctor", "molecule doctor --certs /etc/molecule/tls"))(
    doctor.doctor
)
app.command(name="open", rich_help_panel=PLANE)(open_page.open_)
app.command(rich_help_panel=PLANE, examples=("molecule down", "molecule backup /backups/home.tar.gz"))(backup.backup)
app.command(rich_help_panel=PLANE, examples=("molecule restore /backups/home.tar.gz",))(backup.restore)
app.command(rich_help_panel=PLANE, examples=("molecule down", "molecule reset"))(machine.reset)
app.command(rich_help_panel=PLANE)(machine.migrate)
app.command(rich_help_panel=PLANE, examples=("molecule certs /etc/molecule/tls --host plane.example",))(machine.certs)

app.command(rich_help_panel=LOOK)(status.status)
app.command(rich_help_panel=LOOK, examples=watch.EXAMPLES)(watch.watch)
app.command(
    rich_help_panel=LOOK,
    examples=("molecule events lead -f", "molecule events -f --type 'WORKSPACE_*' --type TASK_UPDATED"),
)(events.events)
app.command(rich_help_panel=LOOK, examples=logs.EXAMPLES)(logs.logs)
app.command(rich_help_panel=LOOK, examples=("molecule search --skill translate",))(search.search)

app.command(
    rich_help_panel=TALK,
    examples=('molecule send lead "hello"', "molecule send lead < question.txt", "git diff | molecule send reviewer -"),
)(send.send)
app.command(rich_help_panel=TALK, examples=("molecule chat lead",))(chat.chat)
app.command(rich_help_panel=TALK, examples=delegate.EXAMPLES)(delegate.delegate)
app.add_typer(delegations.app, name="delegations", rich_help_panel=TALK)
app.add_typer(queue.app, name="queue", rich_help_panel=TALK)

app.add_typer(ws.app, name="ws", rich_help_panel=TEAM)
app.add_typer(org.app, name="org", rich_help_panel=TEAM)
app.command(rich_help_panel=TEAM)(templates)
app.add_typer(schedules.app, name="schedules", rich_help_panel=TEAM)
app.add_typer(files.app, name="files", rich_help_panel=TEAM)
app.add_typer(plugins.app, name="plugins", rich_help_panel=TEAM)
app.add_typer(images.app, name="images", rich_help_panel=TEAM)

app.add_typer(secrets.app, name="secrets", rich_help_panel=ACCESS)
app.add_typer(tokens.app, name="tokens", rich_help_panel=ACCESS)
app.add_typer(org_tokens.app, name="org-tokens", rich_help_panel=ACCESS)
app.add_typer(vault.app, name="vault", rich_help_panel=ACCESS)
app.add_typer(audit.app, name="audit", rich_help_panel=ACCESS)

app.add_typer(config.app, name="config", rich_help_panel=CLIENT)
app.command(rich_help_panel=CLIENT, examples=connect.EXAMPLES)(connect.connect)

lifecycle.register(app, hidden=True)


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


def _require_text(arguments: list[str]) -> None:
    """Raise `CliError` for an argument that the locale cannot decode; Python replaces its bytes by surrogates."""
    for number, argument in enumerate(arguments):
        try:
            argument.encode()
        except UnicodeEncodeError:
            message = f"argument {number} is not valid text in this locale ({sys.getfilesystemencoding()}): use UTF-8"
            raise CliError(message) from None


if __name__ == "__main__":
    main()
