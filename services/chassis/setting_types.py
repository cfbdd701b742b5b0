"""Types of settings: each parses the text of one variable, within bounds, and says what it accepts."""

import math
from datetime import timedelta
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr

from services.chassis.addresses import Network

MAX_DURATION = timedelta(days=36_500)
"""The longest time span of a setting; a longer one would overflow dates that are computed with it."""

MIN_DURATION = timedelta(milliseconds=1)
"""The shortest time span of a setting that is not 0; a shorter one would turn a pause into a busy loop."""

MAX_PORT = 65_535

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
"""The values of `sslmode` of a database URL, as in PostgreSQL; unset is `prefer`."""

UNITS = {unit: timedelta(**{unit: 1}) for unit in ("seconds", "minutes", "hours", "days")}


def parse_duration(value: object, *, unit: str, allows_zero: bool = False) -> object:
    """Parse a number of `unit`; raises `ValueError` that says which numbers are accepted."""
    if not isinstance(value, str):
        return value
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    is_within = MIN_DURATION / UNITS[unit] <= number <= MAX_DURATION / UNITS[unit]
    if not is_within and not (allows_zero and number == 0):
        least = "at least 0" if allows_zero else "more than 0"
        raise ValueError(f"must be a number of {unit}, {least} and at most {MAX_DURATION / UNITS[unit]:.0f}")
    return number * UNITS[unit]


def parse_list(value: object) -> object:
    """Parse texts that are separated by commas."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def parse_networks(value: object) -> object:
    """Parse networks such as `10.0.0.0/8` that are separated by commas; raises `ValueError` for anything else."""
    if not isinstance(value, str):
        return value
    try:
        return tuple(ip_network(part.strip(), strict=False) for part in value.split(",") if part.strip())
    except ValueError:
        raise ValueError("must be networks like 10.0.0.0/8, separated by commas") from None


def parse_url(value: str) -> str:
    """Return a URL of HTTP without a final slash; raises `ValueError` for anything else."""
    try:
        parts = urlsplit(value)
        is_url = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        is_url = False
    if value and (not is_url or not value.isascii() or not value.isprintable() or " " in value):
        raise ValueError("must be a URL that begins with http:// or https://")
    return value.rstrip("/")


def check_listen_address(value: str) -> str:
    """Return `unix:/path` or `host:port`; raises `ValueError` for anything else."""
    if not _is_socket(value) and not _is_host_and_port(value):
        raise ValueError("must be unix:/path/of.sock or host:port")
    return value


def check_targets(value: str) -> str:
    """Return `unix:/path`, or `host:port` once or several times; raises `ValueError` for anything else."""
    if not _is_socket(value) and not all(_is_host_and_port(part.strip()) for part in value.split(",")):
        raise ValueError("must be unix:/path/of.sock, host:port, or several address:port separated by commas")
    return value


def check_database_url(value: SecretStr) -> SecretStr:
    """Return the URL of a PostgreSQL; raises `ValueError` for anything else, without the URL: it holds a password."""
    try:
        parts = urlsplit(value.get_secret_value())
        is_url = parts.scheme in {"postgresql", "postgres"} and "://" in value.get_secret_value() and parts.port != 0
        parameters = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    except ValueError:
        is_url, parameters = False, {}
    if not is_url:
        raise ValueError("must begin with postgresql:// and have the form postgresql://user:password@host:port/name")
    if not parameters.keys() <= {"host", "port", "sslmode"}:
        raise ValueError("must have no parameters but host, port and sslmode")
    if parameters.get("sslmode", "require") not in SSL_MODES:
        raise ValueError(f"must have an sslmode of {', '.join(SSL_MODES)}")
    if not _is_port(parameters.get("port", "1")):
        raise ValueError("must have a number as its port")
    return value


def expand_home(value: Path) -> Path:
    """Return the path with its `~` expanded; raises `ValueError` if it names an unknown user."""
    try:
        return value.expanduser()
    except RuntimeError:
        raise ValueError("must be the path of a directory or file, and ~ the home of a known user") from None


def _is_socket(value: str) -> bool:
    return value.startswith("unix:") and len(value) > len("unix:")


def _is_host_and_port(value: str) -> bool:
    host, _, port = value.rpartition(":")
    return bool(host) and _is_port(port) and value.isprintable() and " " not in value


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(MAX_PORT)) and int(text) <= MAX_PORT


Seconds = Annotated[timedelta, BeforeValidator(partial(parse_duration, unit="seconds"))]
"""A time span, given as a number of seconds."""

SecondsOrZero = Annotated[timedelta, BeforeValidator(partial(parse_duration, unit="seconds", allows_zero=True))]
"""The same, or 0."""

Minutes = Annotated[timedelta, BeforeValidator(partial(parse_duration, unit="minutes"))]
"""A time span, given as a number of minutes."""

Hours = Annotated[timedelta, BeforeValidator(partial(parse_duration, unit="hours"))]
"""A time span, given as a number of hours."""

Days = Annotated[timedelta, BeforeValidator(partial(parse_duration, unit="days"))]
"""A time span, given as a number of days."""

Texts = Annotated[tuple[str, ...], BeforeValidator(parse_list)]
"""Texts, separated by commas."""

Networks = Annotated[tuple[Network, ...], BeforeValidator(parse_networks)]
"""Networks, separated by commas."""

Url = Annotated[str, AfterValidator(parse_url)]
"""A URL of HTTP, without a final slash."""

DatabaseUrl = Annotated[SecretStr, AfterValidator(check_database_url)]
"""The URL of a PostgreSQL, which is a secret."""

ListenAddress = Annotated[str, AfterValidator(check_listen_address)]
"""Where a service listens."""

Targets = Annotated[str, AfterValidator(check_targets)]
"""Where a service is reached."""

DirectoryPath = Annotated[Path, AfterValidator(expand_home)]
"""The path of a directory, in which `~` stands for a home."""

FilePath = Annotated[Path, AfterValidator(expand_home)]
"""The path of a file, in which `~` stands for a home."""
