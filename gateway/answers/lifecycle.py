"""What those who pause, resume and hibernate are answered, and agents that ask how they stand."""

from typing import NotRequired

from typing_extensions import TypedDict


class Paused(TypedDict):
    """Answer of a pause. `stops_later`: nobody is there now who could stop the instances."""

    status: str
    paused_count: int
    stops_later: NotRequired[bool]


class Resumed(TypedDict):
    """Answer of a resume."""

    status: str
    resumed_count: int


class Hibernated(TypedDict):
    """Answer of a hibernation."""

    status: str


class BootstrapNoted(TypedDict):
    """Answer to a report that an instance does not boot."""

    ok: bool
    no_change: NotRequired[bool]


class State(TypedDict):
    """How a workspace stands, for its own agent."""

    workspace_id: str
    status: str
    paused: bool
    deleted: bool
