"""Instructions: protobuf and model."""

from collections.abc import Mapping
from typing import Any

from protos.registry.v1 import instructions_pb2 as pb
from services.chassis.timestamps import timestamp_from_datetime
from services.registry.errors.workspaces import InvalidValue
from services.registry.notes.instructions.rules import CHANGEABLE, Draft, Instruction


def draft_from(request: pb.CreateInstructionRequest) -> Draft:
    """An instruction as somebody wants it."""
    return Draft(
        scope=request.scope,
        target=request.scope_target,
        title=request.title,
        content=request.content,
        priority=request.priority,
    )


def changes_from(request: pb.UpdateInstructionRequest) -> Mapping[str, Any]:
    """The fields to change by name. Raises `InvalidValue`."""
    paths = request.update_mask.paths
    if not paths:
        raise InvalidValue(field="update_mask")
    if unknown := sorted(set(paths) - CHANGEABLE):
        raise InvalidValue(field=unknown[0])
    return {path: getattr(request.instruction, path) for path in paths}


def instruction_to(instruction: Instruction) -> pb.Instruction:
    """An instruction as the contract writes it."""
    return pb.Instruction(
        id=instruction.id,
        scope=instruction.scope,
        scope_target=instruction.target,
        title=instruction.title,
        content=instruction.content,
        priority=instruction.priority,
        enabled=instruction.enabled,
        created_at=timestamp_from_datetime(instruction.created_at),
        updated_at=timestamp_from_datetime(instruction.updated_at),
    )
