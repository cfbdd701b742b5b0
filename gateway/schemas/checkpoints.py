"""Checkpoints: completed steps of a workflow."""

from typing import Any, NotRequired

from typing_extensions import TypedDict

from gateway import json_format
from gateway.schemas.names import DateTime
from gateway.schemas.request_model import Int32, NonEmptyText, RequestModel
from protos.registry.v1 import checkpoints_pb2


class NewCheckpoint(RequestModel):
    """Body of POST /workspaces/{id}/checkpoints."""

    workflow_id: NonEmptyText
    step_name: NonEmptyText
    step_index: Int32 = 0
    payload: Any = None


class SavedCheckpoint(TypedDict):
    """Answer of a completed step."""

    id: str
    workspace_id: str
    workflow_id: str
    step_name: str


class DeletedCheckpoints(TypedDict):
    """Answer of a workflow that was deleted."""

    deleted: int
    workflow_id: str


class Checkpoint(TypedDict):
    """A completed step of a workflow."""

    id: str
    workspace_id: str
    workflow_id: str
    step_name: str
    step_index: int
    completed_at: DateTime
    payload: NotRequired[Any]


def render_checkpoint(message: checkpoints_pb2.Checkpoint) -> Checkpoint:
    """Return a checkpoint. `payload` is left out if there is none."""
    rendered = Checkpoint(
        id=message.id,
        workspace_id=message.workspace_id,
        workflow_id=message.workflow_id,
        step_name=message.step_name,
        step_index=message.step_index,
        completed_at=json_format.format_timestamp(message.completed_at),
    )
    if message.HasField("payload"):
        rendered["payload"] = json_format.embed_stored(message.payload)
    return rendered
