"""Ids in requests: parses them into the form that the plane stores."""

from uuid import UUID

from gateway.errors import MalformedRequest

UUID_LENGTH = 36

INVALID_WORKSPACE_ID = "invalid workspace ID"


def parse_workspace_id(text: str) -> str:
    """Return the id of a workspace in lower case; raises `MalformedRequest`."""
    return parse_uuid(text, INVALID_WORKSPACE_ID)


def parse_uuid(text: str, error_text: str) -> str:
    """Return a UUID of 36 characters in lower case; raises `MalformedRequest` with `error_text`."""
    if len(text) != UUID_LENGTH:
        raise MalformedRequest(error_text)
    try:
        canonical = str(UUID(text))
    except ValueError:
        raise MalformedRequest(error_text) from None
    if canonical != text.lower():
        raise MalformedRequest(error_text)
    return canonical
