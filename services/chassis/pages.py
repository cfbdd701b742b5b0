"""Page tokens, which encode a position in a fixed order, and page sizes."""

import base64
import binascii
import json
from collections.abc import Sequence

from services.chassis import strict_json
from services.chassis.errors import InvalidArgument


class InvalidPageToken(InvalidArgument):
    """The page token was not made by this plane."""

    reason = "INVALID_PAGE_TOKEN"
    message = "invalid page token"


def encode_page_token(position: Sequence[str]) -> str:
    """Return the token for the page after `position`."""
    return base64.urlsafe_b64encode(json.dumps(list(position)).encode()).decode()


def decode_page_token(token: str, length: int) -> list[str]:
    """Return the position of a token, which has `length` values; raises `InvalidPageToken`."""
    try:
        values = strict_json.parse(base64.b64decode(token.encode(), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise InvalidPageToken from None
    if not isinstance(values, list) or len(values) != length or not all(isinstance(value, str) for value in values):
        raise InvalidPageToken
    if any("\0" in value for value in values):  # PostgreSQL takes no such text, and no position has one
        raise InvalidPageToken
    return values


def choose_page_size(requested: int, *, default: int, maximum: int) -> int:
    """Return the number of rows of a page."""
    return default if requested <= 0 else min(requested, maximum)
