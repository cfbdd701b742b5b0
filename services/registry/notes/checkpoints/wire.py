"""Converts checkpoints between protobuf and the model."""

from datetime import datetime

from protos.registry.v1 import checkpoints_pb2 as pb
from services.chassis.timestamps import timestamp_from_datetime
from services.registry.notes.checkpoints.rules import Checkpoint
from services.registry.notes.json_text import decode_json_text
from services.registry.workspace.model import WorkspaceId


def checkpoint_from_request(request: pb.SaveCheckpointRequest, checkpoint_id: str, at: datetime) -> Checkpoint:
    return Checkpoint(
        id=checkpoint_id,
        workspace_id=WorkspaceId(request.workspace_id),
        workflow_id=request.workflow_id,
        step_name=request.step_name,
        step_index=request.step_index,
        completed_at=at,
        payload=decode_json_text(request.payload) if request.HasField("payload") else None,
    )


def checkpoint_to_proto(checkpoint: Checkpoint) -> pb.Checkpoint:
    return pb.Checkpoint(
        id=checkpoint.id,
        workspace_id=checkpoint.workspace_id,
        workflow_id=checkpoint.workflow_id,
        step_name=checkpoint.step_name,
        step_index=checkpoint.step_index,
        completed_at=timestamp_from_datetime(checkpoint.completed_at),
        payload=None if checkpoint.payload is None else checkpoint.payload.encode(),
    )
