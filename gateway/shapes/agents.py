"""What agents say of themselves, and what is asked about them."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from gateway.errors import MalformedRequest
from gateway.request_body import ClampedInt32, ClampedInt64, NonEmptyText, RequestModel, WorkspaceId

MOST_SPENT = 10**12
"""US cents that a heartbeat can report at most."""


def _known_mode(mode: str) -> str:
    """Not a fault like others: this one has a text of its own, whatever else is wrong."""
    if mode not in {"", "push", "poll"}:
        raise MalformedRequest("invalid delivery_mode")
    return mode


class Registration(RequestModel):
    """Body of POST /registry/register."""

    id: NonEmptyText
    agent_card: dict[str, Any]
    url: str = ""
    delivery_mode: Annotated[str, AfterValidator(_known_mode)] = ""


class RuntimeMetadata(RequestModel):
    """What an agent declares about itself."""

    capabilities: dict[str, bool] = Field(default_factory=dict)
    idle_timeout_seconds: ClampedInt64 = 0


class Heartbeat(RequestModel):
    """Body of POST /registry/heartbeat."""

    workspace_id: NonEmptyText
    error_rate: float = 0
    sample_error: str = ""
    current_task: str = ""
    active_tasks: ClampedInt32 = 0
    uptime_seconds: ClampedInt64 = 0
    monthly_spend: ClampedInt64 = 0
    runtime_state: str = ""
    runtime_metadata: RuntimeMetadata | None = None
    agent_card: dict[str, Any] | None = None


class NewCard(RequestModel):
    """Body of POST /registry/update-card."""

    workspace_id: NonEmptyText
    agent_card: dict[str, Any]


class AccessQuestion(RequestModel):
    """Body of POST /registry/check-access."""

    caller_id: WorkspaceId
    target_id: WorkspaceId
