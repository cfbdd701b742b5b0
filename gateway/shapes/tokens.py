"""What people ask of tokens."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field

from gateway.errors import MalformedRequest
from gateway.request_body import RequestModel, WorkspaceId

LONGEST_GRACE = 86_400
"""Seconds that a rotated token may stay in force."""

USUAL_GRACE = 300


def _moment(text: str) -> str:
    """Not a fault like others: a time that cannot be read is none that will come."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        read = None
    if read is None or read.tzinfo is None or not FIRST_YEAR <= read.year <= LAST_YEAR:
        raise MalformedRequest("expires_at must be a time to come")
    return text


FIRST_YEAR, LAST_YEAR = 2000, 9998
"""What any clock can say in any zone."""

Moment = Annotated[str, AfterValidator(_moment), Field(json_schema_extra={"format": "date-time"})]


class NewToken(RequestModel):
    """Body of POST /workspaces/{id}/tokens."""

    note: str = ""
    expires_at: Moment | None = None


class NewOrgToken(RequestModel):
    """Body of POST /org/tokens."""

    name: str = ""
    org_id: WorkspaceId | None = None
    scopes: list[str] = Field(default_factory=list)
    expires_at: Moment | None = None


class Rotation(RequestModel):
    """Body of a rotation."""

    grace_seconds: Annotated[int, Field(ge=0, le=LONGEST_GRACE)] = USUAL_GRACE
