"""Checkpoints: protobuf and model."""

from datetime import datetime

from protos.registry.v1 import checkpoints_pb2 as pb
from services.chassis.timestamps import timestamp_from_datetime
from services.registry.notes.checkpoints.rules import Checkpoint
from services.registry.workspace.model import WorkspaceId


def checkpoint_from(request: pb.SaveCheckpointRequest, checkpoint_id: str, at: datetime) -> Checkpoint:
    """A completed step."""
    return Checkpoint(
        id=checkpoint_id,
        workspace_id=WorkspaceId(request.workspace_id),
        workflow_id=request.workflow_id,
        step_name=request.step_name,
        step_index=request.step_index,
        completed_at=at,
        payload=request.payload.decode() if request.HasField("payload") else None,
    )


def checkpoint_to(checkpoint: Checkpoint) -> pb.Checkpoint:
    """A completed step as the contract writes it."""
    return pb.Checkpoint(
        id=checkpoint.id,
        workspace_id=checkpoint.workspace_id,
        workflow_id=checkpoint.workflow_id,
        step_name=checkpoint.step_name,
        step_index=checkpoint.step_index,
        completed_at=timestamp_from_datetime(checkpoint.completed_at),
        payload=None if checkpoint.payload is None else checkpoint.payload.encode(),
    )
