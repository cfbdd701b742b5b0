"""What can be set."""

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

IDLE = timedelta(minutes=5)
"""How long an agent may be silent at work, where nothing else is said."""


class DeployMode(StrEnum):
    """Whose machine the agents run on."""

    SAAS = "saas"
    SELF_HOSTED = "self-hosted"


def _idle(value: object) -> object:
    """A positive number of whole seconds; anything else is the default, and is logged."""
    if not isinstance(value, str):
        return value
    if value.isascii() and value.isdigit() and 0 < int(value) < timedelta.max.total_seconds():
        return timedelta(seconds=int(value))
    default = f"{IDLE.total_seconds():.0f}"
    log.warning("setting ignored", variable="A2A_IDLE_TIMEOUT_SECONDS", value=value, default=default)
    return IDLE


def _networks(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())


def _days(value: object) -> object:
    return timedelta(days=float(value)) if isinstance(value, str) else value


def _hours(value: object) -> object:
    return timedelta(hours=float(value)) if isinstance(value, str) else value


class Settings(DatabaseSettings):
    """What the post needs to know."""

    model_config = with_prefix("A2A_PROXY_")

    registry_targets: str = Field(validation_alias="REGISTRY_TARGETS")
    """Where the registry listens."""

    provisioner_targets: str = Field(validation_alias="PROVISIONER_TARGETS")
    """Where the provisioner listens."""

    idle_timeout: Annotated[timedelta, BeforeValidator(_idle)] = Field(
        default=IDLE, validation_alias="A2A_IDLE_TIMEOUT_SECONDS"
    )
    """Seconds that an agent may be silent at work; not a positive integer: the default."""

    activity_delay: Seconds = timedelta(milliseconds=50)
    """Seconds that activity may wait to be written; 0 commits it before answering."""

    activity_retention: Annotated[timedelta, BeforeValidator(_days)] = Field(
        default=timedelta(days=7), validation_alias="ACTIVITY_RETENTION_DAYS"
    )
    """Days that activity is kept."""

    cleanup_interval: Annotated[timedelta, BeforeValidator(_hours)] = Field(
        default=timedelta(hours=6), validation_alias="ACTIVITY_CLEANUP_INTERVAL_HOURS"
    )
    """Hours between two cleanings of the log."""

    allowed_networks: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)] = Field(
        default=(), validation_alias="AGENT_URL_ALLOWED_CIDRS"
    )
    """Private networks, separated by commas, in which agents may be in production."""

    org_id: str = Field(default="", validation_alias="MOLECULE_ORG_ID")
    """Set where the plane runs as a service for one organisation."""

    deploy_mode: DeployMode | None = Field(default=None, validation_alias="MOLECULE_DEPLOY_MODE")
    """`saas` or `self-hosted`; by default `saas` where MOLECULE_ORG_ID is set."""

    @property
    def rules(self) -> AddressRules:
        """Which addresses agents may register."""
        saas = self.deploy_mode is DeployMode.SAAS or (self.deploy_mode is None and bool(self.org_id))
        return AddressRules(development=self.mode is Mode.DEVELOPMENT, saas=saas, allowed=self.allowed_networks)
