"""Pausing, resuming and hibernating workspaces, and failures to start."""

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from gateway.schemas.names import WorkspaceStatusName
from gateway.schemas.request_model import RequestModel


class BootstrapFailure(RequestModel):
    """Body of POST /admin/workspaces/{id}/bootstrap-failed."""

    error: str = ""
    log_tail: str = ""


class PauseResult(TypedDict):
    """Answer of a pause. `stops_later`: no provisioner is connected now, and the next one stops the instances."""

    status: Literal["paused"]
    paused_count: int
    stops_later: NotRequired[bool]


class ResumeResult(TypedDict):
    """Answer of a resume."""

    status: WorkspaceStatusName
    resumed_count: int


class HibernationResult(TypedDict):
    """Answer of a hibernation."""

    status: Literal["hibernated"]


class CancellationResult(TypedDict):
    """Answer of a cancelled start."""

    status: WorkspaceStatusName
    status_reason: str


class BootstrapFailureResult(TypedDict):
    """Answer to a report that an instance does not boot."""

    ok: bool
    no_change: NotRequired[bool]


class WorkspaceState(TypedDict):
    """How a workspace stands, for its own agent."""

    workspace_id: str
    status: WorkspaceStatusName
    paused: bool
    deleted: bool
