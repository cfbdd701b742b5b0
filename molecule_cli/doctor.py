"""`molecule doctor`: checks the plane and this machine, names each fault with its cause, and says what to do."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from molecule_cli import terminal
from molecule_cli.output import Output, OutputFormat, print_answer

if TYPE_CHECKING:
    from molecule_cli.diagnosis.model import Finding

COLOURS = {"ok": "green", "warning": "yellow", "fault": "red", "skipped": "dim"}

LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


def doctor(
    *,
    certs: Annotated[
        Path | None, typer.Option("--certs", help="Also check the certificates in this directory.")
    ] = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """
    Check the plane, the token, the services, the workspaces and this machine; say what is wrong and what to do.

    Ends with exit code 1 if there is a fault. With [bold]-o name[/] only the names of faults are printed.
    """
    findings = list(_check_everything(certs))
    faults = [one for one in findings if one.verdict == "fault"]
    answer = [
        {"check": one.check, "verdict": one.verdict, "text": one.text, "next_step": one.next_step} for one in findings
    ]
    print_answer(
        output, answer, names=[one.check for one in faults], print_table=lambda: _print_findings(findings, len(faults))
    )
    if faults:
        raise typer.Exit(1)


def _check_everything(certs: Path | None) -> Iterator["Finding"]:
    from molecule_cli import plane_client, settings
    from molecule_cli.diagnosis import certificates, machine, plane
    from molecule_cli.diagnosis.model import fault
    from molecule_cli.errors import CliError

    environment = settings.load_environment()
    try:
        connection = settings.load_settings()
    except CliError as error:
        yield fault("address", str(error), "molecule up -d starts a plane on this machine")
        connection = None
    if connection is not None:
        with plane_client.open_plane(connection) as client:
            yield from plane.check_plane(client)
        yield from certificates.check_address(connection.url)
    if connection is None or (not connection.context and _is_local(environment.molecule_url)):
        yield from machine.check_home(
            environment.molecule_home.expanduser(), port=environment.port or settings.DEFAULT_PORT
        )
        yield machine.check_engine(backend=_read_backend())
    if certs is not None:
        yield from certificates.check_directory(certs)


def _is_local(url: str) -> bool:
    return not url or urlsplit(url).hostname in LOCAL_HOSTS


def _read_backend() -> str:
    """Return the backend that `molecule up` would use with these variables."""
    from molecule_cli import machine
    from molecule_cli.errors import CliError

    try:
        return str(machine.load_deployment_settings().backend)
    except CliError:
        return "unknown"


def _print_findings(findings: Sequence["Finding"], faults: int) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True, highlight=False)
    width = max(len(one.check) for one in findings)
    for one in findings:
        line = Text(f"{one.verdict.upper() if one.verdict == 'fault' else one.verdict:<9}", COLOURS[one.verdict])
        line.append(terminal.escape_controls(f"{one.check:<{width}}  {one.text}"), "default")
        console.print(line)
        if one.next_step:
            console.print(Text(terminal.escape_controls(f"{'':<9}{'':<{width}}  -> {one.next_step}"), "default"))
    terminal.print_line()
    terminal.print_line(
        "no fault was found" if not faults else f"{faults} {'fault' if faults == 1 else 'faults'} found"
    )
