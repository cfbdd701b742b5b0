"""Rules of checkpoints: which completed steps are valid (docs/spec/rest.md, 6.14)."""

from dataclasses import dataclass
from datetime import datetime

from services.registry.notes.errors import InvalidNote
from services.registry.workspace.model import WorkspaceId
from services.registry.workspace.validation import INVISIBLE_CHARS

MAX_NAME_BYTES = 200
"""Bytes of the name of a workflow or step."""

MAX_PAYLOAD_BYTES = 64 * 1024
"""Bytes of the payload as compact JSON."""

MAX_CHECKPOINTS_PER_WORKSPACE = 500

RESERVED_WORKFLOW_ID = "latest"
"""Not valid as the name of a workflow, because it is a route: the step that was completed last."""


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


def check_checkpoint(checkpoint: Checkpoint) -> None:
    """Raise `InvalidNote` if a name or the payload is not valid."""
    for name, text in (("workflow_id", checkpoint.workflow_id), ("step_name", checkpoint.step_name)):
        if not text:
            raise InvalidNote("invalid request body")
        if len(text.encode()) > MAX_NAME_BYTES:
            raise InvalidNote(f"{name} must be <= {MAX_NAME_BYTES} bytes")
        if INVISIBLE_CHARS.search(text):
            raise InvalidNote(f"{name} must not contain control characters")
    if checkpoint.workflow_id == RESERVED_WORKFLOW_ID:
        raise InvalidNote(f"workflow_id must not be '{RESERVED_WORKFLOW_ID}'")
    if len((checkpoint.payload or "").encode()) > MAX_PAYLOAD_BYTES:
        raise InvalidNote(f"payload must be <= {MAX_PAYLOAD_BYTES} bytes")
