"""Reads settings from environment variables; the only module that does."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict


class Mode(StrEnum):
    """The mode of the plane (docs/spec/rest.md, 2)."""

    PRODUCTION = "production"
    DEVELOPMENT = "development"


class LogFormat(StrEnum):
    """The format of log lines."""

    CONSOLE = "console"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The files of mutual TLS between machines."""

    cert: Path
    key: Path
    ca: Path


class InvalidSettings(Exception):
    """The environment is invalid; the text is one line for the operator."""


def _check_mode(value: object) -> object:
    if isinstance(value, str) and value not in set(Mode):
        raise ValueError(f'MOLECULE_ENV must be "production" or "development" (got "{value}")')
    return value


ModeSetting = Annotated[Mode, BeforeValidator(_check_mode)]
"""The mode; an invalid value is refused with the text of docs/spec/rest.md."""


def _parse_seconds(value: object) -> object:
    return timedelta(seconds=float(value)) if isinstance(value, str) else value


Seconds = Annotated[timedelta, BeforeValidator(_parse_seconds)]
"""A time span, given as a number of seconds."""


ROLE_PREFIX = "molecule"
"""Beginning of the names of the database roles, unless the operator chooses another."""

RolePrefix = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
"""A prefix with which the name of every role is a PostgreSQL identifier."""


UNITS = {"DAYS": timedelta(days=1), "HOURS": timedelta(hours=1)}
"""Units of time spans by the last word of the variable; all others are in seconds."""


def with_prefix(prefix: str) -> SettingsConfigDict:
    """Return the configuration of a settings class whose variables begin with `prefix`."""
    return SettingsConfigDict(
        env_prefix=prefix,
        frozen=True,
        extra="forbid",
        validate_by_name=True,
        validate_by_alias=True,
        use_attribute_docstrings=True,
        env_ignore_empty=True,
    )


class ChassisSettings(BaseSettings):
    """The settings of every service."""

    model_config = with_prefix("")

    mode: ModeSetting = Field(default=Mode.PRODUCTION, validation_alias="MOLECULE_ENV")
    """`production` or `development`."""

    listen: str
    """Where the service listens: `unix:/path/of.sock`, or `host:port` with TLS."""

    tls_cert: Path | None = None
    """Certificate of this service, for talk across machines."""

    tls_key: Path | None = None
    """Private key of that certificate."""

    tls_ca: Path | None = None
    """Certificate of the authority that signed every service's certificate."""

    log_format: LogFormat = Field(default=LogFormat.CONSOLE, validation_alias="LOG_FORMAT")
    """`console` for people, `json` for machines."""

    otlp_endpoint: str | None = Field(default=None, validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    """Where traces and metrics go (OTLP over HTTP); off when unset."""

    @property
    def tls(self) -> Tls | None:
        """The TLS files, if all three are set."""
        if self.tls_cert and self.tls_key and self.tls_ca:
            return Tls(cert=self.tls_cert, key=self.tls_key, ca=self.tls_ca)
        return None


class DatabaseSettings(ChassisSettings):
    """The settings of a service with a database or an advisory lock."""

    database_url: SecretStr = Field(validation_alias="DATABASE_URL")
    """The PostgreSQL of the plane, as `postgresql://user:password@host:port/name`."""

    role_prefix: RolePrefix = Field(default=ROLE_PREFIX, validation_alias="DATABASE_ROLE_PREFIX")
    """Beginning of the names of the database roles: planes that share a server need different ones."""


S = TypeVar("S", bound=BaseSettings)


def load_settings(settings: type[S]) -> S:
    """Load the settings from the environment; raises `InvalidSettings` with one line that names what is wrong."""
    try:
        return settings()
    except ValidationError as error:
        raise InvalidSettings("; ".join(_describe_errors(settings, error))) from None


def describe_settings(settings: type[BaseSettings]) -> Iterator[tuple[str, str, str]]:
    """Yield name, default and description of every setting, in the order of declaration."""
    for name, field in settings.model_fields.items():
        variable = _variable_name(settings, name, field)
        yield variable, _render_default(variable, field), " ".join((field.description or "").split())


def _describe_errors(settings: type[BaseSettings], error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        setting = str(problem["loc"][0]) if problem["loc"] else ""
        field = settings.model_fields.get(setting)
        variable = _variable_name(settings, setting, field) if field else setting
        match problem["type"]:
            case "missing":
                yield f"{variable} is required"
            case "value_error":
                yield str(problem["ctx"]["error"])
            case _:
                yield f"{variable}: {problem['msg']}"


def _variable_name(settings: type[BaseSettings], name: str, field: FieldInfo) -> str:
    if isinstance(field.validation_alias, str):
        return field.validation_alias
    return f"{settings.model_config.get('env_prefix', '')}{name}".upper()


def _render_default(variable: str, field: FieldInfo) -> str:
    if field.is_required():
        return "(required)"
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    match value:
        case None | ():
            return ""
        case timedelta():
            return f"{value / UNITS.get(variable.rpartition('_')[-1], timedelta(seconds=1)):g}"
        case bool():
            return str(value).lower()
        case _:
            return str(value)
