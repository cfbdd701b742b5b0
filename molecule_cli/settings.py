"""Where the command finds the plane, and what it proves itself with."""

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from molecule_cli.errors import CliError
from services.chassis import settings
from services.chassis.settings import InvalidSettings


class CliSettings(BaseSettings):
    """The variables of `molecule send` and `molecule status`."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, use_attribute_docstrings=True)

    molecule_url: str = ""
    """Where the gateway answers; on this machine, unless said otherwise."""

    port: int = 8080
    """Port of a gateway on this machine, as given to `make up`."""

    token: SecretStr | None = Field(default=None, validation_alias=AliasChoices("MOLECULE_TOKEN", "ADMIN_TOKEN"))
    """Bearer to present; a plane in open development needs none."""

    @property
    def url(self) -> str:
        """The gateway's address, without a final slash."""
        return (self.molecule_url or f"http://127.0.0.1:{self.port}").rstrip("/")


def load_settings() -> CliSettings:
    """From the environment. Raises `CliError` with the variable that is wrong."""
    try:
        return settings.load_settings(CliSettings)
    except InvalidSettings as error:
        raise CliError(str(error)) from error
