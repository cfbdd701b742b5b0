"""The settings of the command: the address of the plane and the bearer token."""

import sys
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr

from molecule_cli import contexts
from molecule_cli.contexts import Context
from molecule_cli.errors import CliError
from services.chassis import settings
from services.chassis.settings import EnvironmentSettings, InvalidSettings, with_prefix

DEFAULT_PORT = 8080

ADDRESS_FIELDS = frozenset({"molecule_url", "port", "molecule_home"})
"""The settings that name a plane without a context."""

_CHOSEN_CONTEXT: ContextVar[str] = ContextVar("chosen_context", default="")


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

    molecule_context: str = ""
    """The context of `molecule config` that names the plane, before MOLECULE_URL, PORT and MOLECULE_HOME."""

    molecule_config: Path = Path("~/.config/molecule") / contexts.FILE_NAME
    """The file with the contexts of the command line."""

    @property
    def url(self) -> str:
        """The gateway's address, without a final slash.

        Raises `CliError` if MOLECULE_URL is no URL of HTTP, or if only MOLECULE_HOME is set and no plane runs there:
        another plane may use the default port.
        """
        if self.molecule_url:
            return require_url(self.molecule_url, source="MOLECULE_URL")
        if self.port:
            return f"http://127.0.0.1:{self.port}"
        if found := find_running_plane(self.molecule_home):
            return found
        if "molecule_home" in self.model_fields_set:
            message = f"no plane runs in {self.molecule_home}: start it with molecule up"
            raise CliError(message)
        return f"http://127.0.0.1:{DEFAULT_PORT}"

    @property
    def config_file(self) -> Path:
        """The file with the contexts."""
        return self.molecule_config.expanduser()


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How a command reaches its plane."""

    url: str
    token: SecretStr | None
    context: str = ""
    """The name of the context that it comes from; empty for environment variables and defaults."""


def choose_context(name: str) -> None:
    """Choose the context that the commands from now on use; empty for none in particular."""
    _CHOSEN_CONTEXT.set(name)


def load_environment() -> CliSettings:
    """Read the settings from the environment, and tell which variables are misspelt.

    Raises `CliError` with the variable that is wrong.
    """
    for line in settings.find_misspelt_settings(settings.read_environment(), CliSettings):
        print(f"molecule: {line}", file=sys.stderr)  # noqa: T201 - a command writes to its terminal
    try:
        return settings.load_settings(CliSettings)
    except InvalidSettings as error:
        raise CliError(str(error)) from error


def load_settings() -> Connection:
    """Return how the plane is reached.

    `--context` and MOLECULE_CONTEXT come first, then MOLECULE_URL, PORT and MOLECULE_HOME, then the current context,
    then the plane of this machine. Raises `CliError`.
    """
    environment = load_environment()
    name = _CHOSEN_CONTEXT.get() or environment.molecule_context
    if not name and not ADDRESS_FIELDS & environment.model_fields_set:
        name = contexts.load_contexts(environment.config_file).current
    if name:
        return _use_context(name, contexts.load_contexts(environment.config_file).get(name))
    return Connection(url=environment.url, token=environment.token)


def require_url(url: str, *, source: str) -> str:
    """Return the URL without a final slash; raises `CliError` if it is none of HTTP."""
    if not url.startswith(("http://", "https://")):
        message = f"{source} must begin with http:// or https://, such as http://127.0.0.1:{DEFAULT_PORT}"
        raise CliError(message)
    return url.rstrip("/")


def find_running_plane(home: Path) -> str:
    """Return the URL of the plane that runs in this home; empty if none does, or if the home cannot be read."""
    from deploy import lock

    try:
        return lock.find_url(home.expanduser() / lock.FILE_NAME)
    except (OSError, RuntimeError):
        return ""


def _use_context(name: str, context: Context) -> Connection:
    """Return the connection of a context. A token of the environment belongs to another plane, so it is not sent."""
    token = context.read_token()
    url = require_url(context.url, source=f"the URL of the context {name}")
    return Connection(url=url, token=SecretStr(token) if token else None, context=name)
