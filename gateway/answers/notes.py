"""What those who set, save or delete something are answered."""

from typing import Any

from typing_extensions import TypedDict


class Made(TypedDict):
    """Answer of a new instruction."""

    id: str


class Done(TypedDict):
    """Answer of what was changed, saved or deleted."""

    status: str


class Resolved(TypedDict):
    """What an agent is told."""

    workspace_id: str
    instructions: str


class Saved(TypedDict):
    """Answer of a completed step."""

    id: str
    workspace_id: str
    workflow_id: str
    step_name: str


class Cleared(TypedDict):
    """Answer of a workflow that was deleted."""

    deleted: int
    workflow_id: str


class Config(TypedDict):
    """What a workspace is set to."""

    data: dict[str, Any]


class Viewport(TypedDict):
    """Where the canvas stands."""

    x: float
    y: float
    zoom: float
