"""What those who ask for consent, or give it, are answered."""

from typing_extensions import TypedDict


class Decided(TypedDict):
    """What has become of a request."""

    approval_id: str
    status: str
