"""The log of an instance."""

from typing_extensions import TypedDict


class InstanceLog(TypedDict):
    """The end of what an instance wrote, and whether there was more before it."""

    workspace_id: str
    backend: str
    tail: int
    truncated: bool
    output: str
