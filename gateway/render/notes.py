"""Instructions and checkpoints as the JSON that the REST contract promises."""

import json
from typing import Any, NotRequired

from typing_extensions import TypedDict

from gateway import json_format
from protos.registry.v1 import checkpoints_pb2, instructions_pb2


class Instruction(TypedDict):
    """Something that agents are told."""

    id: str
    scope: str
    scope_target: str | None
    title: str
    content: str
    priority: int
    enabled: bool
    created_at: str
    updated_at: str


class Checkpoint(TypedDict):
    """A completed step of a workflow."""

    id: str
    workspace_id: str
    workflow_id: str
    step_name: str
    step_index: int
    completed_at: str
    payload: NotRequired[Any]


def instruction(message: instructions_pb2.Instruction) -> Instruction:
    """An instruction."""
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


def checkpoint(message: checkpoints_pb2.Checkpoint) -> Checkpoint:
    """A completed step; its payload only where there is one."""
    rendered = Checkpoint(
        id=message.id,
        workspace_id=message.workspace_id,
        workflow_id=message.workflow_id,
        step_name=message.step_name,
        step_index=message.step_index,
        completed_at=json_format.format_timestamp(message.completed_at),
    )
    if message.HasField("payload"):
        rendered["payload"] = json.loads(message.payload)
    return rendered
