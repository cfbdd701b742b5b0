"""What the routes of models answer."""

from typing import NotRequired

from typing_extensions import TypedDict


class Chosen(TypedDict):
    """The model that was chosen, and by whom: by nobody, or for this workspace."""

    model: str
    source: str


class Choosing(TypedDict):
    """What became of a choice."""

    status: str
    model: NotRequired[str]
