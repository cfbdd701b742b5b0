"""The settings of the agent; the only reader of the environment in this package."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import UUID

MAX_PORT = 65_535

MIN_LEASE_SECONDS = 5
"""A shorter lease would end whenever the plane is slow."""

MAX_LEASE_SECONDS = 3600
"""The longest lease that the plane grants."""

MAX_INTERVAL = timedelta(days=1)
"""The limit for durations in the environment."""


class SettingsError(Exception):
    """A variable is missing or invalid; the text names it and the values that it accepts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    The settings of one agent.

    This is a plain dataclass, because importing pydantic-settings would take longer than the rest of the start up to
    the registration.
    """

    workspace_id: str
    """The workspace of this agent."""
    platform_url: str
    """The URL of the plane's gateway, without a final slash."""
    host: str = "127.0.0.1"
    """The host under which the plane reaches the agent."""
    port: int = 0
    """The port to listen on; 0 takes any free one."""
    parent_id: str | None = None
    """The parent workspace; None for a root."""
    model: str | None = None
    """The model the adapter should use."""
    adapter_module: str = "echo"
    """The name of an adapter, or of the module with the class `Adapter`."""
    root: Path = Path("/")
    """The directory that contains configs/ and workspace/."""
    delivery_mode: str | None = None
    """`push` or `poll`; None leaves the choice to the plane."""
    agent_name: str | None = None
    """The name on the card; None leaves it to the adapter."""
    heartbeat: timedelta = timedelta(seconds=30)
    """The time between two heartbeats."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    """All variables of the process; adapters read their options from them."""
    lease: timedelta = timedelta(seconds=60)
    """How long a fetched message stays with this agent without a sign of it."""
    lineage_token: str | None = None
    """The delegation on which the MCP server works; None for none."""
    may_listen: bool = True
    """Whether the agent opens a port unless it polls. Not a variable: `molecule connect` decides it."""

    @property
    def listens(self) -> bool:
        """Whether the agent opens a port, at which the plane reaches it."""
        return self.may_listen and self.delivery_mode != "poll"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """
        Read the settings from `environment`, by default that of the process; an empty value counts as unset.

        Raises SettingsError.
        """
        variables = os.environ if environment is None else environment  # noqa: TID251 - the one reader of this package
        texts = {variable: variables[variable].strip() for variable in VARIABLES if variables.get(variable, "").strip()}
        for variable in REQUIRED:
            if variable not in texts:
                raise SettingsError(f"{variable} is required")
        values: dict[str, Any] = {}
        for variable, text in texts.items():
            field, parse = VARIABLES[variable]
            try:
                values[field] = parse(text)
            except ValueError as error:
                raise SettingsError(f"{variable} must be {error} (got {text!r})") from None
        return cls(**values, environment=dict(variables))


def _parse_uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise ValueError("a UUID") from None


def _parse_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("an http or https URL")
    return text.rstrip("/")


def _parse_port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > MAX_PORT:
        raise ValueError(f"a port from 0 to {MAX_PORT}")
    return int(text)


def _parse_delivery_mode(text: str) -> str:
    if text not in {"push", "poll"}:
        raise ValueError("push or poll")
    return text


def _parse_seconds(text: str) -> timedelta:
    try:
        span = timedelta(seconds=float(text))
    except (ValueError, OverflowError):
        span = timedelta()
    if not timedelta() < span <= MAX_INTERVAL:
        raise ValueError("a number of seconds, more than 0 and at most a day")
    return span


def _parse_lease(text: str) -> timedelta:
    if not (text.isascii() and text.isdigit()) or not MIN_LEASE_SECONDS <= int(text) <= MAX_LEASE_SECONDS:
        raise ValueError(f"a whole number of seconds from {MIN_LEASE_SECONDS} to {MAX_LEASE_SECONDS}")
    return timedelta(seconds=int(text))


REQUIRED = ("WORKSPACE_ID", "PLATFORM_URL")

VARIABLES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "WORKSPACE_ID": ("workspace_id", _parse_uuid),
    "PLATFORM_URL": ("platform_url", _parse_url),
    "HOST": ("host", str),
    "PORT": ("port", _parse_port),
    "PARENT_ID": ("parent_id", _parse_uuid),
    "MODEL": ("model", str),
    "ADAPTER_MODULE": ("adapter_module", str),
    "MOLECULE_ROOT": ("root", Path),
    "DELIVERY_MODE": ("delivery_mode", _parse_delivery_mode),
    "AGENT_NAME": ("agent_name", str),
    "HEARTBEAT_SECONDS": ("heartbeat", _parse_seconds),
    "INBOX_LEASE_SECONDS": ("lease", _parse_lease),
    "LINEAGE_TOKEN": ("lineage_token", str),
}
"""Each variable with its field and its parser; the text of a parser's ValueError names the accepted values."""
