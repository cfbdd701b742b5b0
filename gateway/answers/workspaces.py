"""What the routes answer, where it is more than a message rendered."""

from typing import NotRequired

from typing_extensions import TypedDict

from gateway.connect_snippets import Connection


class Created(TypedDict):
    """Answer of a create: of the last four keys, those that belong to the kind of workspace."""

    id: str
    status: str
    awareness_namespace: NotRequired[str]
    workspace_access: NotRequired[str]
    external: NotRequired[bool]
    connection: NotRequired[Connection]


class Changed(TypedDict):
    """Answer of PATCH."""

    status: str
    needs_restart: NotRequired[bool]
    model_was_reset: NotRequired[bool]
    model: NotRequired[str]


class Removed(TypedDict):
    """Answer of DELETE."""

    status: str
    cascade_deleted: int


class Restarting(TypedDict):
    """Answer of a restart."""

    status: str
    config_dir: str
    reset_session: bool
