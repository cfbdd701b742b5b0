"""The settings of `molecule up`, and the environment that it passes on to the processes."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from deploy.errors import StartError
from services.chassis import settings
from services.chassis.settings import ROLE_PREFIX, InvalidSettings, Mode, ModeSetting, RolePrefix

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

    database_role_prefix: RolePrefix = ROLE_PREFIX
    """Beginning of the names of the database roles: planes that share a server need different ones."""

    auth_database_url: SecretStr | None = None
    """The login of auth alone on the server of DATABASE_URL; unset: that of DATABASE_URL."""

    registry_database_url: SecretStr | None = None
    """The login of the registry alone, likewise."""

    provisioner_database_url: SecretStr | None = None
    """The login of the provisioner alone, likewise."""

    a2a_proxy_database_url: SecretStr | None = None
    """The login of the A2A proxy alone, likewise."""

    admin_token: SecretStr | None = None
    """Bearer token of the operator; unset: in development every process of this machine has access."""

    secrets_encryption_key: SecretStr | None = None
    """Key of the secret vault, `n:base64`; unset: development creates one in the home."""

    @field_validator(
        "database_url",
        "auth_database_url",
        "registry_database_url",
        "provisioner_database_url",
        "a2a_proxy_database_url",
    )
    @classmethod
    def _is_postgresql(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None:
            scheme, found, _ = value.get_secret_value().partition("://")
            if not found or scheme not in {"postgresql", "postgres"}:
                message = f"{(info.field_name or '').upper()} must begin with postgresql://"
                raise ValueError(message)
        return value

    @model_validator(mode="after")
    def _has_a_server_for_the_logins(self) -> Self:
        if self.service_logins and not self.database_url:
            variable = f"{next(iter(self.service_logins)).upper()}_DATABASE_URL"
            message = (
                f"{variable} needs DATABASE_URL, which makes the tables; the embedded PostgreSQL has its own logins"
            )
            raise ValueError(message)
        return self

    @property
    def service_logins(self) -> Mapping[str, str]:
        """The database URLs of the services that have a login of their own on the server of DATABASE_URL."""
        given = {
            "auth": self.auth_database_url,
            "registry": self.registry_database_url,
            "provisioner": self.provisioner_database_url,
            "a2a_proxy": self.a2a_proxy_database_url,
        }
        return {service: url.get_secret_value() for service, url in given.items() if url}

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
