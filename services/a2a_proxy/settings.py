"""The settings of the A2A proxy."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Self

import structlog
from pydantic import BeforeValidator, Field, model_validator

from services.chassis.addresses import AddressRules
from services.chassis.setting_types import (
    MAX_DURATION,
    Days,
    Hours,
    Minutes,
    Networks,
    Seconds,
    SecondsOrZero,
    Targets,
    Url,
)
from services.chassis.settings import DatabaseSettings, Mode, with_prefix

log = structlog.get_logger()

DEFAULT_IDLE_TIMEOUT = timedelta(minutes=5)
"""Idle timeout of agents that declare none, if the setting does not say otherwise."""


MAX_IDLE_TIMEOUT_DIGITS = 10
"""Digits of MAX_DURATION in seconds; Python refuses to convert a very long number."""


class DeployMode(StrEnum):
    """How the plane is deployed: for one organisation as a service, or by its users."""

    SAAS = "saas"
    SELF_HOSTED = "self-hosted"


def _parse_idle_timeout(value: object) -> object:
    """Parse a positive number of whole seconds; any other value is logged and replaced by the default."""
    if not isinstance(value, str):
        return value
    is_short = len(value) <= MAX_IDLE_TIMEOUT_DIGITS
    if is_short and value.isascii() and value.isdigit() and 0 < int(value) <= MAX_DURATION.total_seconds():
        return timedelta(seconds=int(value))
    default = f"{DEFAULT_IDLE_TIMEOUT.total_seconds():.0f}"
    log.warning("setting ignored", variable="A2A_IDLE_TIMEOUT_SECONDS", value=value, default=default)
    return DEFAULT_IDLE_TIMEOUT


class Settings(DatabaseSettings):
    """The settings of the A2A proxy."""

    model_config = with_prefix("A2A_PROXY_")

    registry_targets: Targets = Field(validation_alias="REGISTRY_TARGETS")
    """Where the registry listens."""

    provisioner_targets: Targets = Field(validation_alias="PROVISIONER_TARGETS")
    """Where the provisioner listens."""

    auth_targets: Targets = Field(validation_alias="AUTH_TARGETS")
    """Where auth listens."""

    platform_url: Url = Field(default="http://127.0.0.1:8080", validation_alias="PLATFORM_URL")
    """The URL by which the agents of the plane reach it, for their push notifications."""

    external_platform_url: Url = Field(default="", validation_alias="EXTERNAL_PLATFORM_URL")
    """The public URL of the plane, for the push notifications of external agents."""

    idle_timeout: Annotated[timedelta, BeforeValidator(_parse_idle_timeout)] = Field(
        default=DEFAULT_IDLE_TIMEOUT, validation_alias="A2A_IDLE_TIMEOUT_SECONDS"
    )
    """Seconds that an agent may be silent at work; not a positive integer: the default."""

    activity_delay: SecondsOrZero = timedelta(milliseconds=50)
    """Seconds that activity may wait to be written; 0 commits it before answering."""

    activity_retention: Days = Field(default=timedelta(days=7), validation_alias="ACTIVITY_RETENTION_DAYS")
    """Days that activity is kept."""

    cleanup_interval: Hours = Field(default=timedelta(hours=6), validation_alias="ACTIVITY_CLEANUP_INTERVAL_HOURS")
    """Hours between two cleanings of the log."""

    activity_max_megabytes: int = Field(default=10_240, ge=1, le=100_000_000)
    """Megabytes of activity of the whole plane; beyond them the largest logs lose their oldest rows."""

    activity_max_megabytes_per_workspace: int = Field(default=256, ge=1, le=1_000_000)
    """Megabytes of activity of one workspace; beyond them it loses its oldest rows, and its inbox is full."""

    queue_max_messages_per_target: int = Field(default=20_000, ge=1, le=10_000_000)
    """Accepted messages that may wait for one target; a target that polls is limited by bytes only."""

    queue_max_messages_per_caller: int = Field(default=20_000, ge=1, le=10_000_000)
    """Accepted messages of one calling workspace that may wait."""

    queue_max_megabytes_per_target: int = Field(default=256, ge=1, le=1_000_000)
    """Megabytes of accepted messages that may wait for one target, and of the answers to them that are kept."""

    queue_lease: Seconds = timedelta(seconds=30)
    """Seconds after which a message is taken from a proxy that does not renew its lease."""

    queue_renewal: Seconds = timedelta(seconds=10)
    """Seconds between two renewals of a lease; at most half of a lease."""
    max_dispatches_per_target: int = Field(default=256, ge=1, le=100_000)
    """Messages and streams in progress to one workspace, and to one address; beyond them the target is busy."""

    max_large_body_megabytes: int = Field(default=64, ge=10, le=100_000)
    """Megabytes of messages above 16 KiB in progress, and as many of answers; further ones wait for room."""

    stream_retention: Minutes = Field(
        default=timedelta(minutes=60), validation_alias="A2A_PROXY_STREAM_RETENTION_MINUTES"
    )
    """Minutes that a stream can be resumed after its end."""

    stream_max_megabytes: int = Field(default=1024, ge=1, le=1_000_000)
    """Megabytes of ended streams that are kept; beyond them the oldest are erased earlier."""

    delegation_max_depth: int = Field(default=8, ge=1, le=64, validation_alias="DELEGATION_MAX_DEPTH")
    """The deepest delegation; a delegation that belongs to no other has depth 1."""

    allowed_networks: Networks = Field(default=(), validation_alias="AGENT_URL_ALLOWED_CIDRS")
    """Private networks, separated by commas, in which agents may be in production."""

    org_id: str = Field(default="", validation_alias="MOLECULE_ORG_ID")
    """Set where the plane runs as a service for one organisation; agents then have addresses as in `saas`."""

    deploy_mode: DeployMode | None = Field(default=None, validation_alias="MOLECULE_DEPLOY_MODE")
    """`saas` or `self-hosted`: which addresses agents may have; unset: `saas` if MOLECULE_ORG_ID is set."""

    @model_validator(mode="after")
    def _check_renewal(self) -> Self:
        """Refuse a renewal that might come after the end of a lease."""
        if self.queue_renewal * 2 > self.queue_lease:
            raise ValueError("A2A_PROXY_QUEUE_RENEWAL must be at most half of A2A_PROXY_QUEUE_LEASE")
        return self

    @property
    def address_rules(self) -> AddressRules:
        """The rules for the addresses that agents register."""
        saas = self.deploy_mode is DeployMode.SAAS or (self.deploy_mode is None and bool(self.org_id))
        return AddressRules(development=self.mode is Mode.DEVELOPMENT, saas=saas, allowed=self.allowed_networks)
