"""Health and readiness of the plane."""

from typing import NotRequired

from typing_extensions import TypedDict


class StartingPoint(TypedDict):
    """Answer of /."""

    name: str
    version: str
    api: str
    docs: str
    health: str
    ready: str
    workspaces: str
    next: str


class Health(TypedDict):
    """Answer of /health."""

    status: str


class ServiceCheck(TypedDict):
    """What one service said."""

    status: str
    required: bool
    latency_ms: int
    detail: NotRequired[str]


class ReadinessStatus(TypedDict):
    """Answer of /ready."""

    status: str
    checks: dict[str, ServiceCheck]
