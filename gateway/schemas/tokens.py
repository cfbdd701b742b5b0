"""Tokens of workspaces and of organisations, and browser sessions."""

from datetime import datetime
from typing import Annotated, Literal, NotRequired

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from gateway import json_format
from gateway.errors import MalformedRequest
from gateway.schemas.names import CallerKindName, DateTime, TokenScopeName
from gateway.schemas.request_model import RequestModel, WorkspaceId
from protos.auth.v1 import tokens_pb2 as pb

MAX_GRACE_SECONDS = 86_400
"""Seconds that a rotated token may stay in force."""


DEFAULT_GRACE_SECONDS = 300


def _check_expiry(text: str) -> str:
    """Not a fault like others: a time that cannot be read is none that will come."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        read = None
    if read is None or read.tzinfo is None or not MIN_YEAR <= read.year <= MAX_YEAR:
        raise MalformedRequest("expires_at must be a time to come")
    return text


MIN_YEAR, MAX_YEAR = 2000, 9998
"""What any clock can say in any zone."""


Expiry = Annotated[str, AfterValidator(_check_expiry), Field(json_schema_extra={"format": "date-time"})]


class NewToken(RequestModel):
    """Body of POST /workspaces/{id}/tokens."""

    note: str = ""
    expires_at: Expiry | None = None


class NewOrgToken(RequestModel):
    """Body of POST /org/tokens."""

    name: str = ""
    org_id: WorkspaceId | None = None
    scopes: list[str] = Field(default_factory=list)
    expires_at: Expiry | None = None


class TokenRotation(RequestModel, title="Rotation"):
    """Body of a rotation."""

    grace_seconds: Annotated[int, Field(ge=0, le=MAX_GRACE_SECONDS)] = DEFAULT_GRACE_SECONDS


class Token(TypedDict):
    """A live token of a workspace."""

    id: str
    prefix: str
    created_at: DateTime
    last_used_at: DateTime | None
    note: NotRequired[str]
    expires_at: NotRequired[DateTime]


class OrgToken(TypedDict):
    """A live token of an organisation."""

    id: str
    prefix: str
    org_id: str
    scopes: list[TokenScopeName]
    created_at: DateTime
    name: NotRequired[str]
    created_by: NotRequired[str]
    last_used_at: NotRequired[DateTime]
    expires_at: NotRequired[DateTime]


class TokenList(TypedDict):
    """The tokens of a workspace."""

    count: int
    tokens: list[Token]


class OrgTokenList(TypedDict):
    """The tokens of organisations."""

    count: int
    tokens: list[OrgToken]


class MintedToken(TypedDict):
    """A token of a workspace, told once."""

    id: str
    auth_token: str
    workspace_id: str
    expires_at: NotRequired[DateTime]
    previous_expires_at: NotRequired[DateTime]
    message: str


class MintedOrgToken(TypedDict):
    """A token of an organisation, told once."""

    id: str
    prefix: str
    org_id: str
    scopes: list[TokenScopeName]
    name: NotRequired[str]
    expires_at: NotRequired[DateTime]
    previous_expires_at: NotRequired[DateTime]
    auth_token: str
    warning: str


class TestToken(TypedDict):
    """A token with which a person or a program tests a workspace."""

    auth_token: str
    workspace_id: str
    expires_at: DateTime


class RevocationResult(TypedDict):
    """A token or a session that is no more."""

    status: Literal["revoked", "ended"]


class RevokedOrgToken(TypedDict):
    """The id of an organisation token that is no more."""

    revoked: str


class CallerDescription(TypedDict):
    """Who the caller is, and the session they came with."""

    kind: CallerKindName
    org_id: NotRequired[str]
    scopes: NotRequired[list[str]]
    workspace_id: NotRequired[str]
    csrf_token: NotRequired[str]
    expires_at: NotRequired[DateTime]


def render_token(message: pb.Token) -> Token:
    """Return a workspace token without its text."""
    shown = Token(
        id=message.id,
        prefix=message.prefix,
        created_at=json_format.format_timestamp(message.created_at),
        last_used_at=json_format.format_timestamp(message.last_used_at) if message.HasField("last_used_at") else None,
    )
    if message.note:
        shown["note"] = message.note
    if message.HasField("expires_at"):
        shown["expires_at"] = json_format.format_timestamp(message.expires_at)
    return shown


def render_org_token(message: pb.OrgToken) -> OrgToken:
    """Return an organisation token without its text."""
    shown = OrgToken(
        id=message.id,
        prefix=message.prefix,
        org_id=message.org_id,
        scopes=list(message.scopes),
        created_at=json_format.format_timestamp(message.created_at),
    )
    if message.name:
        shown["name"] = message.name
    if message.created_by:
        shown["created_by"] = message.created_by
    if message.HasField("last_used_at"):
        shown["last_used_at"] = json_format.format_timestamp(message.last_used_at)
    if message.HasField("expires_at"):
        shown["expires_at"] = json_format.format_timestamp(message.expires_at)
    return shown
