"""Settings of the gateway, from environment variables."""

import re
from enum import StrEnum
from hashlib import sha256
from ipaddress import ip_address
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from gateway.cors import normalize_origin
from gateway.hosts import parse_host
from services.chassis.setting_types import FilePath, Networks, Targets, Texts, Url
from services.chassis.settings import ChassisSettings, Mode, require_strong_secret, with_prefix


class AgentCards(StrEnum):
    """Whether agent cards need a credential."""

    PUBLIC = "public"
    AUTHENTICATED = "authenticated"


MAX_RATE_LIMIT = 1_000_000_000
"""The largest rate limit, which is no limit in practice."""


def _check_digest(value: SecretStr) -> SecretStr:
    try:
        digest = bytes.fromhex(value.get_secret_value())
    except ValueError:
        digest = b""
    if len(digest) != sha256().digest_size:
        raise ValueError("ADMIN_TOKEN_SHA256 must be the SHA-256 digest of ADMIN_TOKEN, 64 hexadecimal digits")
    return value


def _check_origins(values: tuple[str, ...]) -> tuple[str, ...]:
    for text in values:
        if not normalize_origin(text) or urlsplit(text).path.strip("/"):
            raise ValueError(f'must list origins such as https://console.example (got "{text}")')
    return values


def _check_hosts(values: tuple[str, ...]) -> tuple[str, ...]:
    for text in values:
        if parse_host(f"{text}:1") is None:
            raise ValueError(f'must list host names such as plane.example (got "{text}")')
    return values


def _check_host_and_port(text: str) -> str:
    if text and (_PORT.search(text) is None or parse_host(text) is None):
        raise ValueError(f'must be a host and a port such as 0.0.0.0:50051 (got "{text}")')
    return text


_PORT = re.compile(r":[0-9]{1,5}$")

HostAndPort = Annotated[str, AfterValidator(_check_host_and_port)]
"""A host and a port; or empty."""

Origins = Annotated[Texts, AfterValidator(_check_origins)]
"""Origins of browser pages, separated by commas."""

HostNames = Annotated[Texts, AfterValidator(_check_hosts)]
"""Host names, separated by commas."""

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

    agent_bind: str = Field(default="", validation_alias="AGENT_BIND")
    """Second address to listen on, with PORT, for agents in containers: every request there needs a credential, also in
    development; unset: none."""

    grpc_listen: HostAndPort = ""
    """Address for the gRPC binding of A2A, `host:port`; unset: there is none. Like HTTP it has no TLS."""

    grpc_url: HostAndPort = ""
    """Public address of the gRPC binding in cards, `host:port`; unset: none, in development GATEWAY_GRPC_LISTEN."""

    admin_token: SecretStr | None = Field(default=None, validation_alias="ADMIN_TOKEN")
    """Bearer of the operator. Auth compares it; the gateway only where an operator must see what auth cannot answer."""

    admin_token_sha256: Annotated[SecretStr, AfterValidator(_check_digest)] | None = Field(
        default=None, validation_alias="ADMIN_TOKEN_SHA256"
    )
    """SHA-256 digest of ADMIN_TOKEN in hexadecimal, instead of the token: the gateway needs no more of it."""

    metrics_token: SecretStr | None = Field(default=None, validation_alias="METRICS_TOKEN")
    """Bearer for a monitoring system: it opens /metrics and nothing else; unset: only ADMIN_TOKEN does."""

    rate_limit: int = Field(default=600, validation_alias="RATE_LIMIT", gt=0, le=MAX_RATE_LIMIT)
    """Requests per minute and client address, and per bearer."""

    max_connections_per_address: int = Field(
        default=1024, validation_alias="MAX_CONNECTIONS_PER_ADDRESS", gt=0, le=MAX_RATE_LIMIT
    )
    """Connections from one address, at most half of all; trusted proxies may have any number."""

    plugin_max_body_bytes: int = Field(
        default=65_536, validation_alias="PLUGIN_INSTALL_BODY_MAX_BYTES", ge=256, le=1_048_576
    )
    """Size of a request to install a plugin."""

    cors_origins: Origins | None = Field(default=None, validation_alias="CORS_ORIGINS")
    """Browser origins that may call, separated by commas; unset: none, in development the console's."""

    trusted_proxies: Networks | None = Field(default=None, validation_alias="TRUSTED_PROXIES")
    """Networks whose X-Forwarded headers are believed, separated by commas; unset: none."""

    external_platform_url: Url = Field(default="", validation_alias="EXTERNAL_PLATFORM_URL")
    """Public address of the plane in answers; unset: the address of the request. Its host may be requested."""

    platform_url: Url = Field(default="http://127.0.0.1:8080", validation_alias="PLATFORM_URL")
    """Address under which agents reach the gateway. Its host may be requested."""

    allowed_hosts: HostNames | None = Field(default=None, validation_alias="ALLOWED_HOSTS")
    """Further host names, separated by commas, that clients use for the gateway; any other name is refused.

    The hosts of EXTERNAL_PLATFORM_URL and PLATFORM_URL, localhost and IP addresses need not be listed.
    """

    agent_cards: AgentCards | None = Field(default=None, validation_alias="AGENT_CARDS")
    """`public` or `authenticated`; unset: authenticated, in development public."""

    agent_card_signing_key: FilePath | None = Field(default=None, validation_alias="AGENT_CARD_SIGNING_KEY")
    """PEM file with the private key of P-256 with which the plane signs agent cards; unset: cards are not signed."""

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
        if self.mode is Mode.PRODUCTION and self.admin_token_digest is None:
            raise ValueError("ADMIN_TOKEN is required when MOLECULE_ENV=production")
        if self.mode is Mode.PRODUCTION:
            require_strong_secret("ADMIN_TOKEN", self.admin_token)
            require_strong_secret("METRICS_TOKEN", self.metrics_token)
        if self.mode is Mode.DEVELOPMENT and not _is_loopback(self.host):
            raise ValueError(f"MOLECULE_ENV=development may only bind a loopback address (got {self.host})")
        if self.mode is Mode.DEVELOPMENT and self.grpc_listen and not _is_loopback(parse_host(self.grpc_listen) or ""):
            raise ValueError(f"MOLECULE_ENV=development may only bind a loopback address (got {self.grpc_listen})")
        return self

    @property
    def shown_grpc_url(self) -> str:
        """The address of the gRPC binding in agent cards; empty if they do not offer it."""
        if not self.grpc_listen:
            return ""
        return self.grpc_url or (self.grpc_listen if self.mode is Mode.DEVELOPMENT else "")

    @property
    def host(self) -> str:
        """The address to bind."""
        return self.bind_host or ("127.0.0.1" if self.mode is Mode.DEVELOPMENT else "0.0.0.0")  # noqa: S104 - containers

    @property
    def is_open(self) -> bool:
        """Whether this is open development: no bearer is needed and no rate is limited."""
        return self.mode is Mode.DEVELOPMENT and self.admin_token_digest is None

    @property
    def origins(self) -> frozenset[str]:
        """The browser origins that may call."""
        if self.cors_origins is not None:
            return frozenset(self.cors_origins)
        return frozenset(DEVELOPMENT_ORIGINS) if self.mode is Mode.DEVELOPMENT else frozenset()

    @property
    def host_names(self) -> frozenset[str]:
        """The names of the plane that clients may use."""
        urls = (self.external_platform_url, self.platform_url)
        texts = (self.bind_host, *(urlsplit(url).hostname or "" for url in urls), *(self.allowed_hosts or ()))
        return frozenset(name for name in map(parse_host, texts) if name)

    @property
    def cards_are_public(self) -> bool:
        """Whether agent cards need no bearer."""
        if self.agent_cards is not None:
            return self.agent_cards is AgentCards.PUBLIC
        return self.mode is Mode.DEVELOPMENT

    @property
    def admin_token_digest(self) -> bytes | None:
        """The digest that a bearer is compared with; `None` if the plane has no ADMIN_TOKEN."""
        token = self.admin_token.get_secret_value() if self.admin_token else ""
        if token:
            return sha256(token.encode()).digest()
        return bytes.fromhex(self.admin_token_sha256.get_secret_value()) if self.admin_token_sha256 else None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
