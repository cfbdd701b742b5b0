"""Reads settings from environment variables; the only module that does."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar, get_args

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from services.chassis import secret_strength, setting_names
from services.chassis.setting_types import DatabaseUrl, ListenAddress, Url


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


ROLE_PREFIX = "molecule"
"""Beginning of the names of the database roles, unless the operator chooses another."""

RolePrefix = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
"""A prefix with which the name of every role is a PostgreSQL identifier."""


DURATION_UNITS = {"DAYS": timedelta(days=1), "HOURS": timedelta(hours=1), "MINUTES": timedelta(minutes=1)}
"""Units of time spans by the last word of the variable; all others are in seconds."""

FILE_SUFFIX = "_FILE"
"""Ending of the variable that names a file with a secret, so that the secret is in no environment."""

MAX_SECRET_FILE_BYTES = 64 * 1024


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


class _EnvironmentSource(PydanticBaseSettingsSource):
    """The variables of this process. The library's own source would parse the variables of lists as JSON."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Not used: `__call__` returns all values."""
        raise NotImplementedError

    def __call__(self) -> dict[str, Any]:
        return read_variables(self.settings_cls, read_environment())


class EnvironmentSettings(BaseSettings):
    """Settings of which each is one variable. The type of the field parses its text; an empty one counts as unset."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature of the library
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the arguments first, then the environment, and nothing else."""
        return init_settings, _EnvironmentSource(settings_cls)


class ChassisSettings(EnvironmentSettings):
    """The settings of every service."""

    model_config = with_prefix("")

    mode: ModeSetting = Field(default=Mode.PRODUCTION, validation_alias="MOLECULE_ENV")
    """`production` or `development`."""

    listen: ListenAddress
    """Where the service listens: `unix:/path/of.sock`, or `host:port` with TLS."""

    tls_cert: Path | None = None
    """Certificate of this service, for talk across machines."""

    tls_key: Path | None = None
    """Private key of that certificate."""

    tls_ca: Path | None = None
    """Certificate of the authority that signed every service's certificate."""

    log_format: LogFormat = Field(default=LogFormat.CONSOLE, validation_alias="LOG_FORMAT")
    """`console` for people, `json` for machines."""

    otlp_endpoint: Url | None = Field(default=None, validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    """Where traces and metrics go (OTLP over HTTP); off when unset."""

    @model_validator(mode="after")
    def _require_all_tls_files(self) -> Self:
        files = (self.tls_cert, self.tls_key, self.tls_ca)
        if any(files) and not all(files):
            prefix = self.model_config.get("env_prefix", "")
            raise ValueError(f"{prefix}TLS_CERT, {prefix}TLS_KEY and {prefix}TLS_CA must be set together")
        for file in filter(None, files):
            require_readable_file(file)
        return self

    @property
    def tls(self) -> Tls | None:
        """The TLS files, if they are set."""
        if self.tls_cert and self.tls_key and self.tls_ca:
            return Tls(cert=self.tls_cert, key=self.tls_key, ca=self.tls_ca)
        return None


class DatabaseSettings(ChassisSettings):
    """The settings of a service with a database or an advisory lock."""

    database_url: DatabaseUrl = Field(validation_alias="DATABASE_URL")
    """The PostgreSQL of the plane, as `postgresql://user:password@host:port/name`."""

    role_prefix: RolePrefix = Field(default=ROLE_PREFIX, validation_alias="DATABASE_ROLE_PREFIX")
    """Beginning of the names of the database roles: planes that share a server need different ones."""

    database_pool_size: int = Field(default=10, ge=2, le=100, validation_alias="DATABASE_POOL_SIZE")
    """Connections in the pool of each service but the provisioner, 2 to 100; locks and notifications use a few more."""


S = TypeVar("S", bound=BaseSettings)


def load_settings(settings: type[S], environment: Mapping[str, str] | None = None) -> S:
    """Load the settings from the given environment, or from the one of this process.

    Raises `InvalidSettings` with one line that names what is wrong, and never contains a secret.
    """
    try:
        return settings(**({} if environment is None else read_variables(settings, environment)))
    except ValidationError as error:
        raise InvalidSettings("; ".join(_describe_errors(settings, error))) from None


def read_environment() -> Mapping[str, str]:
    """Return the environment of this process."""
    return dict(os.environ)  # noqa: TID251 - this is the place that reads it


def read_variables(settings: type[BaseSettings], environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the texts of the settings that are set, by the name under which the class takes them.

    A secret may be in a file that `<variable>_FILE` names. Raises `InvalidSettings` if both variables are set, or if
    the file cannot be used.
    """
    values = {}
    for name, field in settings.model_fields.items():
        variables = _list_variables(settings, name, field)
        found = (
            _read_variable(variable, environment, is_secret=_is_secret(field.annotation)) for variable in variables
        )
        if value := next(filter(None, found), ""):
            values[variables[0] if field.validation_alias else name] = value
    return values


def find_misspelt_settings(environment: Mapping[str, str], *kinds: type[BaseSettings]) -> Iterator[str]:
    """Yield one line for each variable that is no setting of these kinds, but similar to one."""
    known = {variable for kind in kinds for variable in list_variables(kind)}
    for name, similar in setting_names.find_misspelt_names(environment, known):
        yield f"{name} is not a setting; did you mean {similar}?"


def list_variables(settings: type[BaseSettings]) -> Iterator[str]:
    """Yield the names of all variables of the settings, with those that name files of secrets."""
    for name, field in settings.model_fields.items():
        for variable in _list_variables(settings, name, field):
            yield variable
            if _is_secret(field.annotation):
                yield f"{variable}{FILE_SUFFIX}"


def describe_settings(settings: type[BaseSettings]) -> Iterator[tuple[str, str, str]]:
    """Yield name, default and description of every setting, in the order of declaration."""
    for name, field in settings.model_fields.items():
        variable = _list_variables(settings, name, field)[0]
        yield variable, _render_default(variable, field), " ".join((field.description or "").split())
        if _is_secret(field.annotation):
            yield (
                f"{variable}{FILE_SUFFIX}",
                "",
                f"Path of a file that holds {variable}, instead of the variable itself.",
            )


def require_strong_secret(variable: str, secret: SecretStr | None) -> None:
    """Raise `ValueError` with one line if the secret is set and too weak for production."""
    weakness = secret_strength.find_weakness(secret.get_secret_value()) if secret else None
    if weakness:
        raise ValueError(f"{variable} {weakness}")


def require_readable_file(path: Path) -> None:
    """Raise `ValueError` with one line if the file cannot be read."""
    try:
        with path.open("rb"):
            return
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


def _read_variable(variable: str, environment: Mapping[str, str], *, is_secret: bool) -> str:
    value, path = environment.get(variable, ""), environment.get(f"{variable}{FILE_SUFFIX}", "") if is_secret else ""
    if not _is_text(value + path):
        raise InvalidSettings(f"{variable} is not text in UTF-8")
    if value and path:
        raise InvalidSettings(f"{variable} and {variable}{FILE_SUFFIX} are both set: unset one of them")
    return _read_secret_file(f"{variable}{FILE_SUFFIX}", path) if path else value


def _is_text(value: str) -> bool:
    """Whether the value of a variable was valid UTF-8; Python keeps other bytes as surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_secret_file(variable: str, path: str) -> str:
    try:
        with Path(path).expanduser().open("rb") as file:
            text = file.read(MAX_SECRET_FILE_BYTES + 1).decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise InvalidSettings(f"{variable}: {path} cannot be read: {error.strerror}") from None
    except (RuntimeError, ValueError):
        raise InvalidSettings(f"{variable}: {path} is not a file of text in UTF-8") from None
    if not text or len(text) >= MAX_SECRET_FILE_BYTES:
        raise InvalidSettings(f"{variable}: {path} is {'too long' if text else 'empty'}")
    return text


def _describe_errors(settings: type[BaseSettings], error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        setting = str(problem["loc"][0]) if problem["loc"] else ""
        field = settings.model_fields.get(setting)
        variable = _list_variables(settings, setting, field)[0] if field else setting
        text = str(problem["ctx"]["error"]) if problem["type"] == "value_error" else problem["msg"]
        if problem["type"] == "missing":
            yield f"{variable} is required"
        else:
            separator = " " if text.startswith("must ") else ": "
            yield text if not variable or variable in text else f"{variable}{separator}{text}"


def _list_variables(settings: type[BaseSettings], name: str, field: FieldInfo) -> tuple[str, ...]:
    """Return the variables of a field; the first one that is set counts."""
    match field.validation_alias:
        case str(variable):
            return (variable,)
        case AliasChoices(choices=choices):
            return tuple(choice for choice in choices if isinstance(choice, str))
    return (f"{settings.model_config.get('env_prefix', '')}{name}".upper(),)


def _is_secret(annotation: object) -> bool:
    return annotation is SecretStr or any(_is_secret(part) for part in get_args(annotation))


def _render_default(variable: str, field: FieldInfo) -> str:
    if field.is_required():
        return "(required)"
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    match value:
        case None | ():
            return ""
        case timedelta():
            return f"{value / DURATION_UNITS.get(variable.rpartition('_')[-1], timedelta(seconds=1)):g}"
        case bool():
            return str(value).lower()
        case _:
            return str(value)
