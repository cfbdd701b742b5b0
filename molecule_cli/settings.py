"""The settings of the command: the address of the plane and the bearer token."""

import sys
from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr

from molecule_cli.errors import CliError
from services.chassis import settings
from services.chassis.settings import EnvironmentSettings, InvalidSettings, with_prefix

DEFAULT_PORT = 8080


class CliSettings(EnvironmentSettings):
    """The environment variables of the commands that call a plane."""

    model_config = with_prefix("")

    molecule_url: str = ""
    """URL of the gateway; unset: that of the plane on this machine."""

    port: int | None = Field(default=None, ge=1, le=65535)
    """Port of a gateway on this machine; unset: that of the plane in MOLECULE_HOME, or 8080."""

    molecule_home: Path = Path("~/.molecule")
    """The home of a plane on this machine, as given to `molecule up`."""

    token: SecretStr | None = Field(default=None, validation_alias=AliasChoices("MOLECULE_TOKEN", "ADMIN_TOKEN"))
    """Bearer token; a plane in development mode without ADMIN_TOKEN needs none."""

    @property
    def url(self) -> str:
        """The gateway's address, without a final slash.

        Raises `CliError` if MOLECULE_URL is no URL of HTTP, or if only MOLECULE_HOME is set and no plane runs there:
        another plane may use the default port.
        """
        if self.molecule_url and not self.molecule_url.startswith(("http://", "https://")):
            message = f"MOLECULE_URL must begin with http:// or https://, such as http://127.0.0.1:{DEFAULT_PORT}"
            raise CliError(message)
        if self.molecule_url or self.port:
            return (self.molecule_url or f"http://127.0.0.1:{self.port}").rstrip("/")
        if found := _find_running_plane(self.molecule_home):
            return found
        if "molecule_home" in self.model_fields_set:
            message = f"no plane runs in {self.molecule_home}: start it with make up"
            raise CliError(message)
        return f"http://127.0.0.1:{DEFAULT_PORT}"


def load_settings() -> CliSettings:
    """Read the settings from the environment, and tell which variables are misspelt.

    Raises `CliError` with the variable that is wrong.
    """
    for line in settings.find_misspelt_settings(settings.read_environment(), CliSettings):
        print(f"molecule: {line}", file=sys.stderr)  # noqa: T201 - a command writes to its terminal
    try:
        return settings.load_settings(CliSettings)
    except InvalidSettings as error:
        raise CliError(str(error)) from error


def _find_running_plane(home: Path) -> str:
    """Return the URL of the plane that runs in this home; empty if none does, or if the home cannot be read."""
    from deploy import lock

    try:
        return lock.find_url(home.expanduser() / lock.FILE_NAME)
    except (OSError, RuntimeError):
        return ""
