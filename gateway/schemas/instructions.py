"""Instructions that operators give to agents."""

from typing import Literal

from typing_extensions import TypedDict

from gateway import json_format
from gateway.schemas.names import DateTime, InstructionScopeName
from gateway.schemas.request_model import Int32, RequestModel
from protos.registry.v1 import instructions_pb2


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


class CreatedInstruction(TypedDict):
    """Answer of a new instruction."""

    id: str


class ChangeResult(TypedDict):
    """Answer of what was changed, saved or deleted."""

    status: Literal["updated", "saved", "deleted"]


class ResolvedInstructions(TypedDict):
    """What an agent is told."""

    workspace_id: str
    instructions: str


class Instruction(TypedDict):
    """Something that agents are told."""

    id: str
    scope: InstructionScopeName
    scope_target: str | None
    title: str
    content: str
    priority: int
    enabled: bool
    created_at: DateTime
    updated_at: DateTime


def render_instruction(message: instructions_pb2.Instruction) -> Instruction:
    """Return an instruction."""
    return Instruction(
        id=message.id,
        scope=message.scope,
        scope_target=message.scope_target if message.HasField("scope_target") else None,
        title=message.title,
        content=message.content,
        priority=message.priority,
        enabled=message.enabled,
        created_at=json_format.format_timestamp(message.created_at),
        updated_at=json_format.format_timestamp(message.updated_at),
    )
