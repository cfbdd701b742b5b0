"""What agents say of themselves, and what is asked about them."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from gateway.bodies import Count, Id, Name, Shape, Total
from gateway.errors import Malformed

MOST_SPENT = 10**12
"""US cents that a heartbeat can report at most."""


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
