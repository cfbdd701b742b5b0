"""The settings of `molecule up`, and the environment that it passes on to the processes."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, Self, TypeVar

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings

from deploy.errors import StartError
from gateway.settings import Settings as GatewaySettings
from services.a2a_proxy.settings import Settings as ProxySettings
from services.auth.settings import Settings as AuthSettings
from services.chassis import settings
from services.chassis.setting_types import DatabaseUrl, DirectoryPath
from services.chassis.settings import (
    FILE_SUFFIX,
    ROLE_PREFIX,
    EnvironmentSettings,
    InvalidSettings,
    Mode,
    ModeSetting,
    RolePrefix,
    with_prefix,
)
from services.provisioner.settings import Settings as ProvisionerSettings
from services.registry.settings import Settings as RegistrySettings

DEFAULT_PORT = 8080

SERVICE_SETTINGS = (AuthSettings, RegistrySettings, ProvisionerSettings, ProxySettings, GatewaySettings)
"""The settings of the processes that `molecule up` starts."""

ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - the operator gives them
"""The loopback address by which this machine reaches a server that listens on all addresses."""


class UpSettings(EnvironmentSettings):
    """The variables of `molecule up`. Other variables are passed on to the services unchanged."""

    model_config = with_prefix("")

    molecule_env: ModeSetting = Mode.DEVELOPMENT
    """The mode of the plane. Production requires ADMIN_TOKEN and SECRETS_ENCRYPTION_KEY."""

    molecule_home: Path = Path("~/.molecule")
    """The directory of the plane's database, workspaces, logs and keys."""

    port: int = Field(default=DEFAULT_PORT, ge=1, le=65535)
    """Port of the gateway."""

    bind_host: str = ""
    """Address on which the gateway listens; unset: 127.0.0.1 (a gateway on its own in production: 0.0.0.0). Development
    accepts loopback addresses only."""

    backend: Literal["process", "docker", "control_plane", "none", "fake"] = "process"
    """How instances run: `process` on this machine, `docker` in containers, `control_plane` by a provisioner on other
    machines, `none` if agents are started elsewhere, `fake` in memory only."""

    agent_bind: str = ""
    """Second address of the gateway, for agents in containers and on other machines; unset: with the Docker backend the
    address of this machine on their network. Every request there needs a credential."""

    demo: bool = True
    """Whether the first start creates the demo team. Requires the process or the Docker backend, and development."""

    configs_dir: DirectoryPath | None = None
    """Directory of the workspace templates; unset: one in the home, at first with the templates of the release."""

    org_templates_dir: DirectoryPath | None = None
    """Directory of the org templates; unset: one in the home, at first with the templates of the release."""

    database_url: DatabaseUrl | None = None
    """The URL of a PostgreSQL server; unset: the embedded one is used."""

    database_role_prefix: RolePrefix = ROLE_PREFIX
    """Beginning of the names of the database roles: planes that share a server need different ones."""

    auth_database_url: DatabaseUrl | None = None
    """The login of auth alone on the server of DATABASE_URL; unset: that of DATABASE_URL."""

    registry_database_url: DatabaseUrl | None = None
    """The login of the registry alone, likewise."""

    provisioner_database_url: DatabaseUrl | None = None
    """The login of the provisioner alone, likewise."""

    a2a_proxy_database_url: DatabaseUrl | None = None
    """The login of the A2A proxy alone, likewise."""

    admin_token: SecretStr | None = None
    """Bearer token of the operator; unset: in development every process of this machine has access."""

    secrets_encryption_key: SecretStr | None = None
    """Key of the secret vault, `n:base64`; unset: development creates one in the home."""

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
        """The URL of the gateway on this machine."""
        host = ANY_ADDRESS.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def agents_url(self) -> str:
        """The URL of the gateway for agents."""
        return f"http://{self.agent_bind}:{self.port}" if self.agent_bind else self.url

    @property
    def second_host(self) -> str:
        """The second address to listen on; empty if the first one includes it."""
        return "" if self.host in ANY_ADDRESS else self.agent_bind

    @property
    def host(self) -> str:
        """The address on which the gateway listens."""
        return self.bind_host or "127.0.0.1"


def load_up_settings() -> UpSettings:
    """Read the settings from the environment. Raises `StartError` that names the invalid variable."""
    try:
        return settings.load_settings(UpSettings)
    except InvalidSettings as error:
        raise StartError(str(error)) from error


def require_safe_settings(given: UpSettings) -> None:
    """Raise `StartError` if the plane would not be safe in its mode."""
    if given.molecule_env is Mode.DEVELOPMENT:
        return
    try:
        for variable, secret in (
            ("ADMIN_TOKEN", given.admin_token),
            ("SECRETS_ENCRYPTION_KEY", given.secrets_encryption_key),
        ):
            if not secret:
                raise ValueError(f"{variable} is required when MOLECULE_ENV={given.molecule_env}")  # noqa: TRY301
        settings.require_strong_secret("ADMIN_TOKEN", given.admin_token)
    except ValueError as error:
        raise StartError(str(error)) from error


def require_no_replaced_settings(inherited: Mapping[str, str], environment: Mapping[str, str]) -> None:
    """Raise `StartError` for a setting of a service that was given, but that `molecule up` would replace.

    `environment` has the variables that `molecule up` sets.
    """
    own = set(settings.list_variables(UpSettings))
    defaults = {name: default for kind in SERVICE_SETTINGS for name, default, _ in settings.describe_settings(kind)}
    replaced = [
        name
        for name in defaults.keys() & environment.keys() - own
        if inherited.get(name) and inherited[name] not in {environment[name], defaults[name]}
    ]
    if replaced:
        names = ", ".join(sorted(replaced))
        message = f"{names}: molecule up chooses {'this' if len(replaced) == 1 else 'these'} by itself; unset it"
        raise StartError(message)


def find_misspelt_settings(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield one line for each variable that is no setting of any process, but similar to one."""
    return settings.find_misspelt_settings(environment, UpSettings, *SERVICE_SETTINGS)


def leave_secrets_in_files(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without the secrets that `<variable>_FILE` names: a process reads the file itself."""
    return {name: value for name, value in environment.items() if not environment.get(f"{name}{FILE_SUFFIX}")}


S = TypeVar("S", bound=BaseSettings)


def read_settings_from(environment: Mapping[str, str], kind: type[S]) -> S:
    """Return the settings that a process with this environment would read; for services that run in this process."""
    return settings.load_settings(kind, environment)


def copy_environment() -> Mapping[str, str]:
    """Return the environment of this process, which the plane's processes inherit."""
    return settings.read_environment()
