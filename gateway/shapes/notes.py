"""What operators tell agents, how far agents have come, and what is set."""

from typing import Any

from pydantic import ConfigDict

from gateway.request_body import Int32, NonEmptyText, RequestModel


class NewInstruction(RequestModel):
    """Body of POST /instructions."""

    scope: str = ""
    scope_target: str | None = None
    title: str = ""
    content: str = ""
    priority: Int32 = 0


class InstructionChanges(RequestModel):
    """Body of PUT /instructions/{instructionId}: what is absent stays as it is."""

    title: str = ""
    content: str = ""
    priority: Int32 = 0
    enabled: bool = True


class NewCheckpoint(RequestModel):
    """Body of POST /workspaces/{id}/checkpoints."""

    workflow_id: NonEmptyText
    step_name: NonEmptyText
    step_index: Int32 = 0
    payload: Any = None


class ConfigPatch(RequestModel):
    """Body of PATCH /workspaces/{id}/config: an object of the client's own."""

    model_config = ConfigDict(extra="allow")


class NewViewport(RequestModel):
    """Body of PUT /canvas/viewport."""

    x: float
    y: float
    zoom: float
