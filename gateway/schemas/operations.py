"""Health and readiness of the plane."""

from typing import NotRequired

from pydantic import with_config
from typing_extensions import TypedDict


@with_config(title="Start")
class StartingPoint(TypedDict):
    """Answer of /."""

    name: str
    api: str
    docs: str
    health: str
    ready: str
    workspaces: str
    next: str


class Health(TypedDict):
    """Answer of /health."""

    status: str


@with_config(title="Check")
class ServiceCheck(TypedDict):
    """What one service said."""

    status: str
    required: bool
    latency_ms: int
    detail: NotRequired[str]


@with_config(title="Ready")
class ReadinessStatus(TypedDict):
    """Answer of /ready."""

    status: str
    checks: dict[str, ServiceCheck]
