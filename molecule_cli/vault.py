"""`molecule vault`: reseals the secrets with the newest key."""

import time
from typing import Any

from molecule_cli import terminal
from molecule_cli.command_app import CommandApp
from molecule_cli.errors import CliError

app = CommandApp(help="The keys that encrypt secrets.")

MAX_IDLE_BATCHES = 20
"""Consecutive batches that reseal nothing because other transactions hold the remaining secrets."""

RETRY_SECONDS = 0.25
"""Seconds between two such batches."""


@app.callback()
def group() -> None:
    """Keep `reseal` a command of its own, though it is the only one."""


@app.command()
def reseal() -> None:
    """
    Encrypt every secret again with the newest key, while the plane runs.

    First start auth with SECRETS_ENCRYPTION_KEY=2:<new>,1:<old>. When nothing remains, remove the old key.
    """
    from molecule_cli import plane_client, settings

    with plane_client.open_plane(settings.load_settings()) as plane:
        resealed, idle_batches = 0, 0
        while True:
            answer = _reseal_batch(plane)
            resealed += answer["resealed"]
            idle_batches = 0 if answer["resealed"] else idle_batches + 1
            if not answer["remaining"]:
                break
            if idle_batches == MAX_IDLE_BATCHES:
                message = f"{answer['remaining']} secrets are locked by other transactions: call this again later"
                raise CliError(message)
            if idle_batches:
                time.sleep(RETRY_SECONDS)
            else:
                terminal.print_line(f"{resealed} encrypted again, {answer['remaining']} remain")
    terminal.print_line(f"{resealed} encrypted again; all secrets have key {answer['key_version']}, 0 remain")


def _reseal_batch(plane: Any) -> dict[str, Any]:  # noqa: ANN401 - naming the type would import httpx for --help
    try:
        answer: dict[str, Any] = plane.request("POST", "/admin/vault/reseal")
    except CliError as error:
        if "present keys" not in str(error):
            raise
        message = f"{error}: auth's log names the key version; add that key to SECRETS_ENCRYPTION_KEY"
        raise CliError(message) from None
    return answer
