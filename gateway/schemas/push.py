"""Schemas of push notifications."""

from typing import Literal

from typing_extensions import TypedDict


class AcceptedNotification(TypedDict):
    """Answer of a push notification that is stored."""

    status: Literal["accepted"]
