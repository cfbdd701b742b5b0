"""Checkpoints: how far agents have come with what they do in steps (docs/spec/rest.md, 6.14)."""

from dataclasses import dataclass
from datetime import datetime

from services.registry.notes.errors import InvalidNote
from services.registry.workspace.model import WorkspaceId

NAME_BYTES = 200
"""Of the longest name of a workflow or step."""

PAYLOAD_BYTES = 64 * 1024
"""Of the biggest payload, as compact JSON."""

MOST = 500
"""Steps of all workflows of a workspace."""

LATEST = "latest"
"""No name of a workflow: it stands for the step that was completed last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A completed step of a workflow. `payload` is JSON text."""

    id: str
    workspace_id: WorkspaceId
    workflow_id: str
    step_name: str
    step_index: int
    completed_at: datetime
    payload: str | None = None


def check(checkpoint: Checkpoint) -> None:
    """Raise `InvalidNote` for what cannot be kept."""
    for name, text in (("workflow_id", checkpoint.workflow_id), ("step_name", checkpoint.step_name)):
        if not text:
            raise InvalidNote("invalid request body")
        if len(text.encode()) > NAME_BYTES:
            raise InvalidNote(f"{name} must be <= {NAME_BYTES} bytes")
        if any(ord(character) < ord(" ") for character in text):
            raise InvalidNote(f"{name} must not contain control characters")
    if checkpoint.workflow_id == LATEST:
        raise InvalidNote(f"workflow_id must not be '{LATEST}'")
    if len((checkpoint.payload or "").encode()) > PAYLOAD_BYTES:
        raise InvalidNote(f"payload must be <= {PAYLOAD_BYTES} bytes")
