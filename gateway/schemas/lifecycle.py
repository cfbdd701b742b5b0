"""Pausing, resuming and hibernating workspaces, and failures to start."""

from typing import NotRequired

from pydantic import with_config
from typing_extensions import TypedDict

from gateway.schemas.request_model import RequestModel


class BootstrapFailure(RequestModel):
    """Body of POST /admin/workspaces/{id}/bootstrap-failed."""

    error: str = ""
    log_tail: str = ""


@with_config(title="Paused")
class PauseResult(TypedDict):
    """Answer of a pause. `stops_later`: nobody is there now who could stop the instances."""

    status: str
    paused_count: int
    stops_later: NotRequired[bool]


@with_config(title="Resumed")
class ResumeResult(TypedDict):
    """Answer of a resume."""

    status: str
    resumed_count: int


@with_config(title="Hibernated")
class HibernationResult(TypedDict):
    """Answer of a hibernation."""

    status: str


@with_config(title="BootstrapNoted")
class BootstrapFailureResult(TypedDict):
    """Answer to a report that an instance does not boot."""

    ok: bool
    no_change: NotRequired[bool]


@with_config(title="State")
class WorkspaceState(TypedDict):
    """How a workspace stands, for its own agent."""

    workspace_id: str
    status: str
    paused: bool
    deleted: bool
