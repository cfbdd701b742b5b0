"""Parses references of images, and the challenge with which a registry asks for a token."""

import re
from dataclasses import dataclass

from services.provisioner.docker_options import RegistryLogin

DEFAULT_REGISTRY = "registry-1.docker.io"
"""The registry of references that name none."""

DEFAULT_TAG = "latest"

BEARER_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageName:
    """Where an image is: the registry as `host[:port]`, the repository there, and the tag or digest."""

    registry: str
    repository: str
    reference: str


def parse_image(image: str) -> ImageName:
    """Parse a reference such as `ghcr.io/agents/one:7` or `agents/one`, as the Docker Engine does."""
    name, at, digest = image.partition("@")
    first, slash, rest = name.partition("/")
    is_host = bool(slash) and ("." in first or ":" in first or first == "localhost")
    registry, path = (first, rest) if is_host else (DEFAULT_REGISTRY, name)
    if registry in {"docker.io", "index.docker.io"}:
        registry = DEFAULT_REGISTRY
    repository, _, tag = path.partition(":")
    if registry == DEFAULT_REGISTRY and "/" not in repository:
        repository = f"library/{repository}"
    return ImageName(registry=registry, repository=repository, reference=digest if at else tag or DEFAULT_TAG)


def choose_login(login: RegistryLogin | None, image: str) -> RegistryLogin | None:
    """Return the login if the image is at its registry; the operator's credentials go nowhere else (PROV-49)."""
    return login if login is not None and _is_at(image, login.registry) else None


def _is_at(image: str, registry: str) -> bool:
    return parse_image(image).registry.lower() == parse_image(f"{registry}/any").registry.lower()


def parse_challenge(header: str) -> dict[str, str]:
    """Return the parameters of a `WWW-Authenticate: Bearer` header; empty for another scheme."""
    scheme, _, parameters = header.partition(" ")
    return dict(BEARER_PARAMETER.findall(parameters)) if scheme.lower() == "bearer" else {}
