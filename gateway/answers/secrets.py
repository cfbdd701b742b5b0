"""What the routes of secrets answer."""

from typing_extensions import TypedDict


class Done(TypedDict):
    """What became of a secret of a workspace."""

    key: str
    status: str


class DoneForAll(TypedDict):
    """What became of a global secret."""

    key: str
    scope: str
    status: str


class Resealed(TypedDict):
    """What was sealed anew, and what is left."""

    resealed: int
    remaining: int
    key_version: str
