"""The settings of the command: the address of the plane and the bearer token."""

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from molecule_cli.errors import CliError
from services.chassis import settings
from services.chassis.settings import InvalidSettings


class CliSettings(BaseSettings):
    """The environment variables of the commands that call a plane."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, use_attribute_docstrings=True)

    molecule_url: str = ""
    """URL of the gateway; on this machine by default."""

    port: int = 8080
    """Port of a gateway on this machine, as given to `make up`."""

    token: SecretStr | None = Field(default=None, validation_alias=AliasChoices("MOLECULE_TOKEN", "ADMIN_TOKEN"))
    """Bearer token; a plane in development mode without ADMIN_TOKEN needs none."""

    @property
    def url(self) -> str:
        """The gateway's address, without a final slash."""
        return (self.molecule_url or f"http://127.0.0.1:{self.port}").rstrip("/")


def load_settings() -> CliSettings:
    """Read the settings from the environment. Raises `CliError` with the variable that is wrong."""
    try:
        return settings.load_settings(CliSettings)
    except InvalidSettings as error:
        raise CliError(str(error)) from error
