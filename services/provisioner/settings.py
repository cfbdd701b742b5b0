"""The settings of the provisioner, read from the environment."""

import re
import shlex
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator

from services.chassis import addresses
from services.chassis.setting_types import DirectoryPath, FilePath, Targets, Url
from services.chassis.settings import DatabaseSettings, require_readable_file, with_prefix
from services.provisioner.control_plane_options import ControlPlaneOptions
from services.provisioner.docker_options import (
    DEFAULT_IMAGE,
    DEFAULT_LOGIN_REGISTRY,
    DEFAULT_NETWORK,
    DEFAULT_TIER_LIMITS,
    AddressKind,
    DockerOptions,
    PullPolicy,
    RegistryLogin,
    TierLimits,
)

MAX_FETCH_TIMEOUT = timedelta(minutes=9)
"""The gateway waits 10 minutes for the installation of a plugin."""

PLUGIN_SCHEMES = frozenset({"local", "github"})

TIME_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "": 1.0}
"""Seconds of the units of a fetch timeout; a number without a unit is in seconds."""

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})


def _parse_fetch_timeout(value: object) -> object:
    """Parse a number, with or without a unit; raises `ValueError` that says what is accepted."""
    if not isinstance(value, str):
        return value
    matched = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|)", value.strip())
    seconds = float(matched[1]) * TIME_UNITS[matched[2]] if matched else 0.0
    if not 0 < seconds <= MAX_FETCH_TIMEOUT.total_seconds():
        raise ValueError("must be a time like 5m or 30s, more than 0 and at most 9m")
    return timedelta(seconds=seconds)


def _split_list(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


FetchTimeout = Annotated[timedelta, BeforeValidator(_parse_fetch_timeout)]
"""A time span, given with its unit."""


class Settings(DatabaseSettings):
    """The provisioner's settings. It uses the database for an advisory lock only."""

    model_config = with_prefix("PROVISIONER_")

    backend: str = ""
    """How instances run: `process` on this machine, `docker` in containers, `control_plane` by a provisioner on other
    machines, `none` if agents are started elsewhere, `fake` in memory only. Unset: `process`, with MOLECULE_ORG_ID
    `control_plane`."""

    org_id: str = Field(default="", validation_alias="MOLECULE_ORG_ID")
    """Set where the plane runs as a service for one organisation."""

    home: DirectoryPath = Path("~/.molecule")
    """The plane's directory on this machine; the files of each workspace are in `workspaces/<id>` below it."""

    platform_url: Url = Field(default="http://127.0.0.1:8080", validation_alias="PLATFORM_URL")
    """The URL at which agents reach the plane."""

    registry_targets: Targets = Field(validation_alias="REGISTRY_TARGETS")
    """The registry's address: `unix:/path/of.sock`, `host:port`, or a list of `address:port` separated by commas."""

    auth_targets: Targets = Field(validation_alias="AUTH_TARGETS")
    """The address of auth, in the same format."""

    agent_command: str = ""
    """The command of an agent process in shell syntax; empty for the built-in agent with the plane's interpreter."""

    docker_host: str = Field(default="", validation_alias="DOCKER_HOST")
    """Address of the Docker Engine, such as `unix:///var/run/docker.sock`; unset: the usual one of this machine."""

    docker_cert_path: DirectoryPath | None = Field(default=None, validation_alias="DOCKER_CERT_PATH")
    """Directory with `ca.pem`, `cert.pem` and `key.pem` for an engine that is reached by TLS."""

    docker_tls_verify: bool = Field(default=True, validation_alias="DOCKER_TLS_VERIFY")
    """Whether the certificate of that engine has to be valid."""

    docker_image: str = DEFAULT_IMAGE
    """Image of workspaces; `deploy/workspace/Dockerfile` builds it."""

    docker_files_image: str = ""
    """Image with Python 3.11 or newer, in which the plane reads and writes files of workspaces; empty for theirs."""

    docker_pull: PullPolicy = PullPolicy.MISSING
    """`missing` pulls an image that the engine does not have, `never` refuses the start then."""

    docker_network: str = Field(default=DEFAULT_NETWORK, pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}$")
    """Network of the containers; it is created if it is missing."""

    docker_address: AddressKind = AddressKind.IP
    """How the plane dials containers: `ip` if it runs on the engine's host, `name` if it runs in their network."""

    docker_allow_privileged: bool = False
    """Whether workspaces of tier 4 run privileged and see the engine's socket, which makes them root of the host."""

    docker_timeout_seconds: float = Field(default=20.0, ge=1, le=300)
    """Time after which an engine that does not answer counts as unavailable."""

    tier2_memory_mb: int = Field(default=512, validation_alias="TIER2_MEMORY_MB", ge=64, le=1_048_576)
    """Megabytes of memory of a container of tier 2."""

    tier2_cpu_shares: int = Field(default=1024, validation_alias="TIER2_CPU_SHARES", ge=64, le=1_048_576)
    """Processors of a container of tier 2; 1024 are one."""

    tier3_memory_mb: int = Field(default=2048, validation_alias="TIER3_MEMORY_MB", ge=64, le=1_048_576)
    """Megabytes of memory of a container of tier 3."""

    tier3_cpu_shares: int = Field(default=2048, validation_alias="TIER3_CPU_SHARES", ge=64, le=1_048_576)
    """Processors of a container of tier 3; 1024 are one."""

    tier4_memory_mb: int = Field(default=4096, validation_alias="TIER4_MEMORY_MB", ge=64, le=1_048_576)
    """Megabytes of memory of a container of tier 4."""

    tier4_cpu_shares: int = Field(default=4096, validation_alias="TIER4_CPU_SHARES", ge=64, le=1_048_576)
    """Processors of a container of tier 4; 1024 are one."""

    installation_id: str = Field(default="", pattern=r"^[a-zA-Z0-9_.-]{0,64}$")
    """Label that tells the containers of this plane from those of others; unset: one is made in the home."""

    image_platform: str = Field(default="", validation_alias="MOLECULE_IMAGE_PLATFORM")
    """Platform of pulled images, such as `linux/amd64`; unset: the engine's, on ARM `linux/amd64`."""

    image_auto_refresh: bool = Field(default=False, validation_alias="IMAGE_AUTO_REFRESH")
    """Whether the images of runtimes are looked up every 5 minutes, and workspaces restart on newer ones."""

    ghcr_user: str = Field(default="", validation_alias="GHCR_USER")
    """User for pulling images; unset: the Docker login of this machine."""

    ghcr_token: SecretStr = Field(default=SecretStr(""), validation_alias="GHCR_TOKEN")
    """Token of that user. Both or none have to be set."""

    ghcr_host: str = Field(
        default=DEFAULT_LOGIN_REGISTRY, validation_alias="GHCR_HOST", pattern=r"^[a-zA-Z0-9.-]{1,253}(:[0-9]{1,5})?$"
    )
    """Registry that this login is for, as it stands in the names of images; other registries never receive it."""

    plugin_sources: str = "local"
    """Schemes of sources that plugins may come from, separated by commas: `local`, `github`."""

    plugin_directory: DirectoryPath | None = None
    """Directory with the plugins of the scheme `local`; unset: `plugins` in the home."""

    plugin_github_url: Url = "https://codeload.github.com"
    """Address from which archives of GitHub repositories are fetched; HTTP is possible on this machine only."""

    plugin_allow_unpinned: bool = Field(default=False, validation_alias="PLUGIN_ALLOW_UNPINNED")
    """Whether plugins of GitHub may name a branch or a tag, or nothing, instead of a commit."""

    plugin_fetch_timeout: FetchTimeout = Field(
        default=timedelta(minutes=5), validation_alias="PLUGIN_INSTALL_FETCH_TIMEOUT"
    )
    """Time for the download of a plugin, such as `5m` or `30s`; at most 9 minutes."""

    plugin_max_bytes: int = Field(
        default=104_857_600, validation_alias="PLUGIN_INSTALL_MAX_DIR_BYTES", ge=1_024, le=1_073_741_824
    )
    """Bytes of all files of a plugin, and of the archive that it is downloaded in."""

    max_concurrent_starts: int = Field(default=3, ge=1, le=1_000)
    """Workspaces that start at the same time; others wait, and organisations take turns."""

    control_plane_url: Url = ""
    """URL of the control plane (docs/control-plane-api.md); `https`, on this machine also `http`."""

    control_plane_token: SecretStr = Field(default=SecretStr(""))
    """The bearer with which this plane proves itself to the control plane."""

    control_plane_ca: FilePath | None = None
    """Certificate of the authority that signed the control plane's; unset: those of the system."""

    control_plane_tenant_domain: str = Field(default="", pattern=r"^([a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*)?$")
    """Domain below which agents are reached, as `https://<id>.<domain>`; unset: where the control plane says."""

    control_plane_timeout_seconds: float = Field(default=20.0, ge=1, le=300)
    """Time after which a control plane that does not answer counts as unavailable; a start may take 50 seconds."""

    stop_instances_on_exit: bool = False
    """Whether instances stop with the provisioner; by default they keep running and are found again."""

    @field_validator("agent_command")
    @classmethod
    def _is_shell_syntax(cls, value: str) -> str:
        shlex.split(value)
        return value

    @field_validator("plugin_sources")
    @classmethod
    def _has_known_sources(cls, value: str) -> str:
        if not set(_split_list(value)) <= PLUGIN_SCHEMES:
            raise ValueError(f"must be of {', '.join(sorted(PLUGIN_SCHEMES))}, separated by commas")
        return value

    @field_validator("plugin_github_url")
    @classmethod
    def _is_https(cls, value: str) -> str:
        address = urlsplit(value)
        if address.scheme != "https" and address.hostname not in LOOPBACK_HOSTS:
            raise ValueError("must begin with https://")
        return value

    @model_validator(mode="after")
    def _has_whole_login(self) -> Self:
        if bool(self.ghcr_user) != bool(self.ghcr_token.get_secret_value()):
            raise ValueError("GHCR_USER and GHCR_TOKEN have to be set together")
        return self

    @model_validator(mode="after")
    def _knows_its_control_plane(self) -> Self:
        if self.backend_name != "control_plane":
            return self
        if not self.control_plane_url or not self.control_plane_token.get_secret_value():
            cause = "PROVISIONER_BACKEND=control_plane" if self.backend else "MOLECULE_ORG_ID without a backend"
            raise ValueError(f"{cause} requires PROVISIONER_CONTROL_PLANE_URL and PROVISIONER_CONTROL_PLANE_TOKEN")
        parts = urlsplit(self.control_plane_url)
        is_local = parts.hostname == "localhost" or addresses.is_loopback(parts.hostname or "")
        if parts.scheme != "https" and not is_local:
            raise ValueError("PROVISIONER_CONTROL_PLANE_URL must begin with https://, unless it is on this machine")
        if addresses.parse_endpoint(self.control_plane_url) is None or parts.query or parts.fragment:
            raise ValueError("PROVISIONER_CONTROL_PLANE_URL must be a URL without credentials, query and fragment")
        if self.control_plane_ca:
            require_readable_file(self.control_plane_ca)
        return self

    @property
    def backend_name(self) -> str:
        """The chosen backend."""
        return self.backend or ("control_plane" if self.org_id else "process")

    @property
    def control_plane_options(self) -> ControlPlaneOptions:
        """The options of the backend `control_plane`."""
        return ControlPlaneOptions(
            url=self.control_plane_url,
            token=self.control_plane_token.get_secret_value(),
            authority=self.control_plane_ca,
            tenant_domain=self.control_plane_tenant_domain,
            timeout=timedelta(seconds=self.control_plane_timeout_seconds),
        )

    @property
    def plugin_schemes(self) -> frozenset[str]:
        """The schemes of `plugin_sources`."""
        return frozenset(_split_list(self.plugin_sources))

    @property
    def docker_options(self) -> DockerOptions:
        """The options of the backend `docker`."""
        token = self.ghcr_token.get_secret_value()
        return DockerOptions(
            host=self.docker_host,
            cert_path=self.docker_cert_path,
            verify_tls=self.docker_tls_verify,
            installation_id=self.installation_id,
            image=self.docker_image,
            files_image=self.docker_files_image,
            network=self.docker_network,
            address_kind=self.docker_address,
            pull=self.docker_pull,
            platform=self.image_platform,
            login=RegistryLogin(self.ghcr_user, token, self.ghcr_host) if token else None,
            allows_privileged=self.docker_allow_privileged,
            tier_limits=DEFAULT_TIER_LIMITS
            | {
                2: TierLimits(self.tier2_memory_mb, self.tier2_cpu_shares),
                3: TierLimits(self.tier3_memory_mb, self.tier3_cpu_shares),
                4: TierLimits(self.tier4_memory_mb, self.tier4_cpu_shares),
            },
            timeout=timedelta(seconds=self.docker_timeout_seconds),
        )

    @property
    def command(self) -> tuple[str, ...]:
        """The arguments of `agent_command`; empty for the default."""
        return tuple(shlex.split(self.agent_command))
