"""`molecule open`: opens the pages of the plane in a browser."""

from typing import Annotated

import typer

from molecule_cli import terminal
from molecule_cli.choices import check_choices
from molecule_cli.errors import CliError

PAGES = {"docs": "/docs", "api": "/openapi.json", "ready": "/ready"}
"""The pages of a plane by the names that the command takes."""


def _check_page(value: str) -> str:
    check_choices([value], tuple(PAGES))
    return value


def open_(
    page: Annotated[str, typer.Argument(callback=_check_page, help=f"One of {', '.join(PAGES)}.")] = "docs",
    *,
    print_only: Annotated[bool, typer.Option("--print", help="Only print the address.")] = False,
) -> None:
    """Open a page of the plane in the browser, and print its address."""
    import webbrowser

    from molecule_cli import plane_client, settings

    connection = settings.load_settings()
    with plane_client.open_plane(connection) as plane:
        plane.request("GET", "/health")
    address = f"{connection.url}{PAGES[page]}"
    terminal.print_line(address)
    if not print_only and not webbrowser.open(address):
        message = f"no browser was found on this machine: open {address} in another one"
        raise CliError(message)
