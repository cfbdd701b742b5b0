"""What agents are answered."""

from typing import NotRequired

from typing_extensions import TypedDict


class Registered(TypedDict):
    """Answer of register."""

    status: str
    delivery_mode: str
    platform_inbound_secret: NotRequired[str]
    auth_token: NotRequired[str]


class Told(TypedDict):
    """Answer of a heartbeat or a new card."""

    status: str


class Discovered(TypedDict):
    """Where a workspace is reached."""

    id: str
    name: str
    url: str
    delivery_mode: str


class Allowed(TypedDict):
    """Whether two workspaces may communicate."""

    allowed: bool
