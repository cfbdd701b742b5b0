"""What the environment says; nothing else in the package reads it."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import UUID

MAX_PORT = 65_535

MAX_INTERVAL = timedelta(days=1)
"""No time that is set here means more."""


class SettingsError(Exception):
    """The environment does not describe an agent; the text names the variable and what it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    One agent, as its environment describes it.

    A plain dataclass: loading pydantic-settings would take longer than everything else between the start of the
    process and its registration.
    """

    workspace_id: str
    """The workspace this agent fills."""
    platform_url: str
    """Where the plane's gateway answers, without a final slash."""
    host: str = "127.0.0.1"
    """The host under which the plane reaches the agent."""
    port: int = 0
    """The port to listen on; 0 takes any free one."""
    parent_id: str | None = None
    """The workspace above this one; None for a root."""
    model: str | None = None
    """The model the adapter should use."""
    adapter_module: str | None = None
    """The module with the class `Adapter`; None runs the echo."""
    root: Path = Path("/")
    """The directory under which /configs and /workspace lie."""
    delivery_mode: str | None = None
    """`push` or `poll`; None leaves the choice to the plane."""
    agent_name: str | None = None
    """The name on the card; None leaves it to the adapter."""
    heartbeat: timedelta = timedelta(seconds=30)
    """The time between two heartbeats."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """
        The settings in `environment`, by default the process's own; an empty value counts as unset.

        Raises SettingsError.
        """
        given = os.environ if environment is None else environment  # noqa: TID251 - the one reader of this package
        texts = {variable: given[variable].strip() for variable in VARIABLES if given.get(variable, "").strip()}
        for variable in REQUIRED:
            if variable not in texts:
                raise SettingsError(f"{variable} is required")
        values: dict[str, Any] = {}
        for variable, text in texts.items():
            field, read = VARIABLES[variable]
            try:
                values[field] = read(text)
            except ValueError as error:
                raise SettingsError(f"{variable} must be {error} (got {text!r})") from None
        return cls(**values)


def _uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise ValueError("a UUID") from None


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("an http or https URL")
    return text.rstrip("/")


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > MAX_PORT:
        raise ValueError(f"a port from 0 to {MAX_PORT}")
    return int(text)


def _mode(text: str) -> str:
    if text not in {"push", "poll"}:
        raise ValueError("push or poll")
    return text


def _seconds(text: str) -> timedelta:
    try:
        span = timedelta(seconds=float(text))
    except (ValueError, OverflowError):
        span = timedelta()
    if not timedelta() < span <= MAX_INTERVAL:
        raise ValueError("a number of seconds, more than 0 and at most a day")
    return span


REQUIRED = ("WORKSPACE_ID", "PLATFORM_URL")

VARIABLES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "WORKSPACE_ID": ("workspace_id", _uuid),
    "PLATFORM_URL": ("platform_url", _url),
    "HOST": ("host", str),
    "PORT": ("port", _port),
    "PARENT_ID": ("parent_id", _uuid),
    "MODEL": ("model", str),
    "ADAPTER_MODULE": ("adapter_module", str),
    "MOLECULE_ROOT": ("root", Path),
    "DELIVERY_MODE": ("delivery_mode", _mode),
    "AGENT_NAME": ("agent_name", str),
    "HEARTBEAT_SECONDS": ("heartbeat", _seconds),
}
"""Each variable with the field it fills and how it is read; a reader's ValueError says what it should be."""
