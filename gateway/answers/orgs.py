"""What the routes of teams answer."""

from typing_extensions import TypedDict


class TeamMember(TypedDict):
    """A workspace of a team."""

    id: str
    name: str
    role: str | None


class Expanded(TypedDict):
    """Answer of an expansion."""

    status: str
    children: list[TeamMember]


class Collapsed(TypedDict):
    """Answer of a collapse."""

    status: str
    removed: list[str]
