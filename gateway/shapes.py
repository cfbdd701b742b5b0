"""What the routes take."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from gateway.bodies import Count, Id, Int32, Int64, Name, Shape, Total
from gateway.errors import Malformed

MOST_SPENT = 10**12
"""US cents that a heartbeat can report at most."""


class Place(Shape):
    """Where a workspace stands on the canvas."""

    x: float = 0
    y: float = 0


class InitialMemory(Shape):
    """A memory that a new workspace begins with."""

    content: str = ""
    scope: str = ""


class NewWorkspace(Shape):
    """Body of POST /workspaces."""

    name: Name
    role: str = ""
    model: str = ""
    runtime: str = ""
    template: str = ""
    tier: int | None = None
    parent_id: Id | None = None
    external: bool = False
    url: str = ""
    delivery_mode: str = ""
    workspace_dir: str = ""
    workspace_access: str = ""
    budget_limit: Int64 | None = None
    max_concurrent_tasks: Int32 = 0
    hibernation_idle_minutes: Int32 | None = None
    secrets: dict[str, str] = Field(default_factory=dict)
    canvas: Place = Place()
    initial_memories: list[InitialMemory] = Field(default_factory=list)


class Changes(Shape):
    """Body of PATCH /workspaces/{id}: what is absent stays as it is."""

    name: str = ""
    role: str = ""
    x: float = 0
    y: float = 0
    collapsed: bool = False
    max_concurrent_tasks: Int32 = 0
    hibernation_idle_minutes: Int32 | None = None
    parent_id: Id | None = None
    tier: Int32 = 0
    workspace_dir: str | None = None
    runtime: str = ""


class Restart(Shape):
    """Body of POST /workspaces/{id}/restart."""

    template: str = ""
    apply_template: bool = False
    rebuild_config: bool = False
    reset: bool = False


def _known_mode(mode: str) -> str:
    """Not a fault like others: this one has a text of its own, whatever else is wrong."""
    if mode not in {"", "push", "poll"}:
        raise Malformed("invalid delivery_mode")
    return mode


class Registration(Shape):
    """Body of POST /registry/register."""

    id: Name
    agent_card: dict[str, Any]
    url: str = ""
    delivery_mode: Annotated[str, AfterValidator(_known_mode)] = ""


class RuntimeMetadata(Shape):
    """What an agent declares about itself."""

    capabilities: dict[str, bool] = Field(default_factory=dict)
    idle_timeout_seconds: Total = 0


class Heartbeat(Shape):
    """Body of POST /registry/heartbeat."""

    workspace_id: Name
    error_rate: float = 0
    sample_error: str = ""
    current_task: str = ""
    active_tasks: Count = 0
    uptime_seconds: Total = 0
    monthly_spend: Total = 0
    runtime_state: str = ""
    runtime_metadata: RuntimeMetadata | None = None
    agent_card: dict[str, Any] | None = None


class NewCard(Shape):
    """Body of POST /registry/update-card."""

    workspace_id: Name
    agent_card: dict[str, Any]


class AccessQuestion(Shape):
    """Body of POST /registry/check-access."""

    caller_id: Id
    target_id: Id
