"""What those who remember something are answered."""

from typing_extensions import TypedDict


class Committed(TypedDict):
    """Answer of a new memory."""

    id: str
    namespace: str
    scope: str


class Put(TypedDict):
    """Answer of a value that was written."""

    key: str
    status: str
    version: int


class Deleted(TypedDict):
    """Answer of whatever was deleted."""

    status: str
