"""The options of the Docker backend."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

DEFAULT_IMAGE = "molecule-workspace:latest"

DEFAULT_NETWORK = "molecule"

DEFAULT_LOGIN_REGISTRY = "ghcr.io"


class AddressKind(StrEnum):
    """How the plane dials containers."""

    IP = "ip"
    """By their address on the network, for a plane that runs on the engine's host."""
    NAME = "name"
    """By their name, for a plane that runs in containers of the same network."""


class PullPolicy(StrEnum):
    """When an image is pulled."""

    MISSING = "missing"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class RegistryLogin:
    """The login at one image registry, which is sent to no other. Hidden in `repr`."""

    user: str = field(repr=False)
    token: str = field(repr=False)
    registry: str = DEFAULT_LOGIN_REGISTRY
    """The registry as `host[:port]`, as it stands in the names of its images."""


@dataclass(frozen=True, slots=True)
class TierLimits:
    """The memory of one tier, and its share of the processors; 1024 are one."""

    memory_mb: int
    cpu_shares: int


DEFAULT_TIER_LIMITS = {
    1: TierLimits(512, 512),
    2: TierLimits(512, 1024),
    3: TierLimits(2048, 2048),
    4: TierLimits(4096, 4096),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerOptions:
    """The options of the Docker backend; the settings of the provisioner say what each one means."""

    host: str = ""
    cert_path: Path | None = None
    verify_tls: bool = False
    installation_id: str = ""
    image: str = DEFAULT_IMAGE
    files_image: str = ""
    network: str = DEFAULT_NETWORK
    address_kind: AddressKind = AddressKind.IP
    pull: PullPolicy = PullPolicy.MISSING
    platform: str = ""
    login: RegistryLogin | None = None
    allows_privileged: bool = False
    tier_limits: Mapping[int, TierLimits] = field(default_factory=lambda: DEFAULT_TIER_LIMITS)
    timeout: timedelta = timedelta(seconds=20)
