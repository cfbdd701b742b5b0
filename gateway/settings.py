"""Settings of the gateway, from environment variables."""

from enum import StrEnum
from ipaddress import ip_address
from typing import Self

from pydantic import Field, SecretStr, model_validator

from services.chassis.setting_types import Networks, Targets, Texts, Url
from services.chassis.settings import ChassisSettings, Mode, require_strong_secret, with_prefix


class AgentCards(StrEnum):
    """Whether agent cards need a credential."""

    PUBLIC = "public"
    AUTHENTICATED = "authenticated"


MAX_RATE_LIMIT = 1_000_000_000
"""The largest rate limit, which is no limit in practice."""

DEVELOPMENT_ORIGINS = ("http://localhost:3000", "http://localhost:3001")
"""Origins of the console in development."""


class Settings(ChassisSettings):
    """The settings of the gateway."""

    model_config = with_prefix("GATEWAY_")

    listen: str = ""
    """Not used: the gateway listens on BIND_HOST and PORT."""

    port: int = Field(default=8080, validation_alias="PORT", ge=0, le=65535)
    """Port of the REST surface."""

    bind_host: str = Field(default="", validation_alias="BIND_HOST")
    """Address to listen on; unset: 0.0.0.0, in development 127.0.0.1."""

    admin_token: SecretStr | None = Field(default=None, validation_alias="ADMIN_TOKEN")
    """Bearer of the operator. Auth compares it; the gateway only where an operator must see what auth cannot answer."""

    rate_limit: int = Field(default=600, validation_alias="RATE_LIMIT", gt=0, le=MAX_RATE_LIMIT)
    """Requests per minute and client address, and per bearer."""

    cors_origins: Texts | None = Field(default=None, validation_alias="CORS_ORIGINS")
    """Browser origins that may call, separated by commas; unset: none, in development the console's."""

    trusted_proxies: Networks | None = Field(default=None, validation_alias="TRUSTED_PROXIES")
    """Networks whose X-Forwarded headers are believed, separated by commas; unset: none."""

    external_platform_url: Url = Field(default="", validation_alias="EXTERNAL_PLATFORM_URL")
    """Public address of the plane in answers; unset: the address of the request."""

    agent_cards: AgentCards | None = Field(default=None, validation_alias="AGENT_CARDS")
    """`public` or `authenticated`; unset: authenticated, in development public."""

    registry_targets: Targets = Field(validation_alias="REGISTRY_TARGETS")
    """Where the registry listens: a Unix socket, or addresses separated by commas."""

    auth_targets: Targets = Field(validation_alias="AUTH_TARGETS")
    """Where auth listens."""

    a2a_proxy_targets: Targets = Field(validation_alias="A2A_PROXY_TARGETS")
    """Where the A2A proxy listens."""

    provisioner_targets: Targets = Field(validation_alias="PROVISIONER_TARGETS")
    """Where the provisioner listens."""

    @model_validator(mode="after")
    def _refuse_open_production(self) -> Self:
        if self.mode is Mode.PRODUCTION and not self._has_admin_token:
            raise ValueError("ADMIN_TOKEN is required when MOLECULE_ENV=production")
        if self.mode is Mode.PRODUCTION:
            require_strong_secret("ADMIN_TOKEN", self.admin_token)
        if self.mode is Mode.DEVELOPMENT and not _is_loopback(self.host):
            raise ValueError(f"MOLECULE_ENV=development may only bind a loopback address (got {self.host})")
        return self

    @property
    def host(self) -> str:
        """The address to bind."""
        return self.bind_host or ("127.0.0.1" if self.mode is Mode.DEVELOPMENT else "0.0.0.0")  # noqa: S104 - containers

    @property
    def is_open(self) -> bool:
        """Whether this is open development: no bearer is needed and no rate is limited."""
        return self.mode is Mode.DEVELOPMENT and not self._has_admin_token

    @property
    def origins(self) -> frozenset[str]:
        """The browser origins that may call."""
        if self.cors_origins is not None:
            return frozenset(self.cors_origins)
        return frozenset(DEVELOPMENT_ORIGINS) if self.mode is Mode.DEVELOPMENT else frozenset()

    @property
    def cards_are_public(self) -> bool:
        """Whether agent cards need no bearer."""
        if self.agent_cards is not None:
            return self.agent_cards is AgentCards.PUBLIC
        return self.mode is Mode.DEVELOPMENT

    @property
    def _has_admin_token(self) -> bool:
        return bool(self.admin_token and self.admin_token.get_secret_value())


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
