"""The settings of `molecule up`, and the environment that it passes on to the processes."""

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
    """The variables of `molecule up`. Other variables are passed on to the services unchanged."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, use_attribute_docstrings=True)

    molecule_env: ModeSetting = Mode.DEVELOPMENT
    """The mode of the plane. Production requires ADMIN_TOKEN and SECRETS_ENCRYPTION_KEY."""

    molecule_home: Path = Path("~/.molecule")
    """The directory of the plane's database, workspaces, logs and keys."""

    port: int = Field(default=DEFAULT_PORT, ge=1, le=65535)
    """Port of the gateway on 127.0.0.1."""

    backend: Literal["process", "none", "fake"] = "process"
    """How instances run: `process` on this machine, `none` if agents are started elsewhere, `fake` in memory only."""

    demo: bool = True
    """Whether the first start creates the demo team. Requires the process backend."""

    configs_dir: Path | None = None
    """Directory of the workspace templates; unset: one in the home, at first with the templates of the release."""

    org_templates_dir: Path | None = None
    """Directory of the org templates; unset: one in the home, at first with the templates of the release."""

    database_url: SecretStr | None = None
    """The URL of a PostgreSQL server; unset: the embedded one is used."""

    admin_token: SecretStr | None = None
    """Bearer token of the operator; unset: in development every process of this machine has access."""

    secrets_encryption_key: SecretStr | None = None
    """Key of the secret vault, `n:base64`; unset: development creates one in the home."""

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
        """The URL of the gateway."""
        return f"http://127.0.0.1:{self.port}"


def load_up_settings() -> UpSettings:
    """Read the settings from the environment. Raises `StartError` that names the invalid variable."""
    try:
        return settings.load_settings(UpSettings)
    except InvalidSettings as error:
        raise StartError(str(error)) from error


S = TypeVar("S", bound=BaseSettings)


def read_settings_from(environment: Mapping[str, str], kind: type[S]) -> S:
    """Return the settings that a process with this environment would read; for services that run in this process."""
    names = (name for name, _, _ in settings.describe_settings(kind))
    pairs = zip(kind.model_fields, names, strict=True)
    given: dict[str, Any] = {field: environment[name] for field, name in pairs if environment.get(name)}
    return kind(**given)


def copy_environment() -> Mapping[str, str]:
    """Return the environment of this process, which the plane's processes inherit."""
    return dict(os.environ)  # noqa: TID251 - it is passed on as a whole
