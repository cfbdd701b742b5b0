"""What the routes of templates answer."""

from typing_extensions import TypedDict


class Imported(TypedDict):
    """Answer of POST /templates/import."""

    id: str
    name: str
    status: str
