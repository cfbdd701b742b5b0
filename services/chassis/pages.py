"""Page tokens: opaque to callers, a place in a fixed order to us."""

import base64
import binascii
import json
from collections.abc import Sequence

from services.chassis.errors import InvalidArgument


class InvalidPageToken(InvalidArgument):
    """A page token that this plane did not make."""

    reason = "INVALID_PAGE_TOKEN"
    message = "invalid page token"


def encode_page_token(place: Sequence[str]) -> str:
    """The token that says: go on after `place`."""
    return base64.urlsafe_b64encode(json.dumps(list(place)).encode()).decode()


def decode_page_token(token: str, width: int) -> list[str]:
    """The place of a token, `width` values; raises `InvalidPageToken`."""
    try:
        place = json.loads(base64.b64decode(token.encode(), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise InvalidPageToken from None
    if not isinstance(place, list) or len(place) != width or not all(isinstance(value, str) for value in place):
        raise InvalidPageToken
    return place


def page_size(asked: int, *, default: int, most: int) -> int:
    """How many rows a page has."""
    return default if asked <= 0 else min(asked, most)
