"""The log of an instance."""

from pydantic import with_config
from typing_extensions import TypedDict


@with_config(title="Log")
class InstanceLog(TypedDict):
    """The end of what an instance wrote, and whether there was more before it."""

    workspace_id: str
    backend: str
    tail: int
    truncated: bool
    output: str
