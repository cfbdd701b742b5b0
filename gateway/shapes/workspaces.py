"""What the routes take."""

from pydantic import Field

from gateway.request_body import Int32, Int64, NonEmptyText, RequestModel, WorkspaceId

MOST_SPENT = 10**12
"""US cents that a heartbeat can report at most."""


class Place(RequestModel):
    """Where a workspace stands on the canvas."""

    x: float = 0
    y: float = 0


class InitialMemory(RequestModel):
    """A memory that a new workspace begins with."""

    content: str = ""
    scope: str = ""


class NewWorkspace(RequestModel):
    """Body of POST /workspaces."""

    name: NonEmptyText
    role: str = ""
    model: str = ""
    runtime: str = ""
    template: str = ""
    tier: int | None = None
    parent_id: WorkspaceId | None = None
    external: bool = False
    url: str = ""
    delivery_mode: str = ""
    workspace_dir: str = ""
    workspace_access: str = ""
    budget_limit: Int64 | None = None
    max_concurrent_tasks: Int32 = 0
    hibernation_idle_minutes: Int32 | None = None
    secrets: dict[str, str] = Field(default_factory=dict, repr=False)
    canvas: Place = Place()
    initial_memories: list[InitialMemory] = Field(default_factory=list)


class Changes(RequestModel):
    """Body of PATCH /workspaces/{id}: what is absent stays as it is."""

    name: str = ""
    role: str = ""
    x: float = 0
    y: float = 0
    collapsed: bool = False
    max_concurrent_tasks: Int32 = 0
    hibernation_idle_minutes: Int32 | None = None
    parent_id: WorkspaceId | None = None
    tier: Int32 = 0
    workspace_dir: str | None = None
    runtime: str = ""


class Restart(RequestModel):
    """Body of POST /workspaces/{id}/restart."""

    template: str = ""
    apply_template: bool = False
    rebuild_config: bool = False
    reset: bool = False
