"""`molecule vault`: the keys that secrets are sealed with."""

import time
from typing import Any

import typer

from molecule_cli.errors import CliError

app = typer.Typer(no_args_is_help=True, help="The keys that secrets are sealed with.")

BATCH_TIMEOUT_SECONDS = 20
"""Batches in a row in which somebody else holds every secret that is left."""

RETRY_SECONDS = 0.25
"""Seconds between them."""


@app.callback()
def group() -> None:
    """Keep `reseal` a command of its own, though it is the only one."""


@app.command()
def reseal() -> None:
    """
    Seal every secret anew with the newest key, while the plane runs.

    First start auth with SECRETS_ENCRYPTION_KEY=2:<new>,1:<old>. When nothing remains, the old one can go.
    """
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as found:
        done, idle = 0, 0
        while True:
            said = _batch(found)
            done += said["resealed"]
            idle = 0 if said["resealed"] else idle + 1
            if not said["remaining"]:
                break
            if idle == BATCH_TIMEOUT_SECONDS:
                message = f"{said['remaining']} secrets are being written all the time: call this again later"
                raise CliError(message)
            if idle:
                time.sleep(RETRY_SECONDS)
            else:
                typer.echo(f"{done} sealed anew, {said['remaining']} to go")
    typer.echo(f"{done} sealed anew; everything is sealed with key {said['key_version']}")


def _batch(found: Any) -> dict[str, Any]:  # noqa: ANN401 - naming the type would import httpx for --help
    try:
        said: dict[str, Any] = found.ask("POST", "/admin/vault/reseal")
    except CliError as trouble:
        if "present keys" not in str(trouble):
            raise
        message = f"{trouble}: auth's log names the key version; add that key to SECRETS_ENCRYPTION_KEY"
        raise CliError(message) from None
    return said
