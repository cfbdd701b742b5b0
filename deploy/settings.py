"""What `molecule up` can be told, and the environment it hands on."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from deploy.errors import StartError
from services.chassis import settings
from services.chassis.settings import InvalidSettings, Mode, ModeSetting

DEFAULT_PORT = 8080


class UpSettings(BaseSettings):
    """The variables of `make up`. What it does not know is handed on to the services as it is."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, use_attribute_docstrings=True)

    molecule_env: ModeSetting = Mode.DEVELOPMENT
    """The mode of the plane. Production wants ADMIN_TOKEN and SECRETS_ENCRYPTION_KEY."""

    molecule_home: Path = Path("~/.molecule")
    """Where the plane keeps its database, workspaces, logs and keys."""

    port: int = Field(default=DEFAULT_PORT, ge=1, le=65535)
    """Port of the gateway on 127.0.0.1."""

    backend: Literal["process", "none", "fake"] = "process"
    """How workspaces run: as processes, not at all (agents bring themselves), or as pretended instances."""

    demo: bool = True
    """Whether the first start creates the demo team. Needs the process backend."""

    configs_dir: Path | None = None
    """Directory of the workspace templates; by default one in the home, with those that come with the plane."""

    org_templates_dir: Path | None = None
    """Directory of the org templates; by default one in the home, with those that come with the plane."""

    database_url: SecretStr | None = None
    """A PostgreSQL to use instead of the embedded one."""

    admin_token: SecretStr | None = None
    """Bearer of the administrator; without one, development is open to everybody on this machine."""

    secrets_encryption_key: SecretStr | None = None
    """Key of the vault, `n:base64`; development makes one in the home."""

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            scheme, found, _ = value.get_secret_value().partition("://")
            if not found or scheme not in {"postgresql", "postgres"}:
                message = "DATABASE_URL must begin with postgresql://"
                raise ValueError(message)
        return value

    @property
    def url(self) -> str:
        """Where the gateway answers."""
        return f"http://127.0.0.1:{self.port}"


def load_up_settings() -> UpSettings:
    """From the environment. Raises `StartError` with the variable that is wrong."""
    try:
        return settings.load_settings(UpSettings)
    except InvalidSettings as error:
        raise StartError(str(error)) from error


S = TypeVar("S", bound=BaseSettings)


def read_settings_from(environment: Mapping[str, str], kind: type[S]) -> S:
    """The settings that a process with this environment would read, for services that run in this one."""
    names = (name for name, _, _ in settings.describe_settings(kind))
    pairs = zip(kind.model_fields, names, strict=True)
    given: dict[str, Any] = {field: environment[name] for field, name in pairs if environment.get(name)}
    return kind(**given)


def copy_environment() -> Mapping[str, str]:
    """The environment we were started with: processes inherit it, and find their own settings in it."""
    return dict(os.environ)  # noqa: TID251 - handed on as a whole, not read
