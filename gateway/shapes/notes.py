"""What operators tell agents, how far agents have come, and what is set."""

from typing import Any

from pydantic import ConfigDict

from gateway.bodies import Int32, Name, Shape


class NewInstruction(Shape):
    """Body of POST /instructions."""

    scope: str = ""
    scope_target: str | None = None
    title: str = ""
    content: str = ""
    priority: Int32 = 0


class InstructionChanges(Shape):
    """Body of PUT /instructions/{instructionId}: what is absent stays as it is."""

    title: str = ""
    content: str = ""
    priority: Int32 = 0
    enabled: bool = True


class NewCheckpoint(Shape):
    """Body of POST /workspaces/{id}/checkpoints."""

    workflow_id: Name
    step_name: Name
    step_index: Int32 = 0
    payload: Any = None


class ConfigPatch(Shape):
    """Body of PATCH /workspaces/{id}/config: an object of the client's own."""

    model_config = ConfigDict(extra="allow")


class NewViewport(Shape):
    """Body of PUT /canvas/viewport."""

    x: float
    y: float
    zoom: float
