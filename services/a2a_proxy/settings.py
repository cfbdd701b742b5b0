"""The settings of the A2A proxy."""

from datetime import timedelta
from enum import StrEnum
from ipaddress import ip_network
from typing import Annotated

import structlog
from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from services.chassis.addresses import AddressRules, Network
from services.chassis.settings import DatabaseSettings, Mode, Seconds, with_prefix

log = structlog.get_logger()

DEFAULT_IDLE_TIMEOUT = timedelta(minutes=5)
"""Idle timeout of agents that declare none, if the setting does not say otherwise."""


class DeployMode(StrEnum):
    """How the plane is deployed: for one organisation as a service, or by its users."""

    SAAS = "saas"
    SELF_HOSTED = "self-hosted"


def _parse_idle_timeout(value: object) -> object:
    """Parse a positive number of whole seconds; any other value is logged and replaced by the default."""
    if not isinstance(value, str):
        return value
    if value.isascii() and value.isdigit() and 0 < int(value) < timedelta.max.total_seconds():
        return timedelta(seconds=int(value))
    default = f"{DEFAULT_IDLE_TIMEOUT.total_seconds():.0f}"
    log.warning("setting ignored", variable="A2A_IDLE_TIMEOUT_SECONDS", value=value, default=default)
    return DEFAULT_IDLE_TIMEOUT


def _parse_networks(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())


def _parse_days(value: object) -> object:
    return timedelta(days=float(value)) if isinstance(value, str) else value


def _parse_hours(value: object) -> object:
    return timedelta(hours=float(value)) if isinstance(value, str) else value


class Settings(DatabaseSettings):
    """The settings of the A2A proxy."""

    model_config = with_prefix("A2A_PROXY_")

    registry_targets: str = Field(validation_alias="REGISTRY_TARGETS")
    """Where the registry listens."""

    provisioner_targets: str = Field(validation_alias="PROVISIONER_TARGETS")
    """Where the provisioner listens."""

    auth_targets: str = Field(validation_alias="AUTH_TARGETS")
    """Where auth listens."""

    idle_timeout: Annotated[timedelta, BeforeValidator(_parse_idle_timeout)] = Field(
        default=DEFAULT_IDLE_TIMEOUT, validation_alias="A2A_IDLE_TIMEOUT_SECONDS"
    )
    """Seconds that an agent may be silent at work; not a positive integer: the default."""

    activity_delay: Seconds = timedelta(milliseconds=50)
    """Seconds that activity may wait to be written; 0 commits it before answering."""

    activity_retention: Annotated[timedelta, BeforeValidator(_parse_days)] = Field(
        default=timedelta(days=7), validation_alias="ACTIVITY_RETENTION_DAYS"
    )
    """Days that activity is kept."""

    cleanup_interval: Annotated[timedelta, BeforeValidator(_parse_hours)] = Field(
        default=timedelta(hours=6), validation_alias="ACTIVITY_CLEANUP_INTERVAL_HOURS"
    )
    """Hours between two cleanings of the log."""

    activity_max_megabytes: int = Field(default=10_240, ge=1, le=100_000_000)
    """Megabytes of activity of the whole plane; beyond them the largest logs lose their oldest rows."""

    activity_max_megabytes_per_workspace: int = Field(default=256, ge=1, le=1_000_000)
    """Megabytes of activity of one workspace; beyond them it loses its oldest rows, and its inbox is full."""

    allowed_networks: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_parse_networks)] = Field(
        default=(), validation_alias="AGENT_URL_ALLOWED_CIDRS"
    )
    """Private networks, separated by commas, in which agents may be in production."""

    org_id: str = Field(default="", validation_alias="MOLECULE_ORG_ID")
    """Set where the plane runs as a service for one organisation."""

    deploy_mode: DeployMode | None = Field(default=None, validation_alias="MOLECULE_DEPLOY_MODE")
    """`saas` or `self-hosted`; by default `saas` where MOLECULE_ORG_ID is set."""

    @property
    def address_rules(self) -> AddressRules:
        """The rules for the addresses that agents register."""
        saas = self.deploy_mode is DeployMode.SAAS or (self.deploy_mode is None and bool(self.org_id))
        return AddressRules(development=self.mode is Mode.DEVELOPMENT, saas=saas, allowed=self.allowed_networks)
