"""Gates, the requests that reach them, and the bearers that requests present."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum, auto

from services.auth.model.placements import WorkspaceId
from services.auth.model.tokens import Scope, TokenId


class Gate(StrEnum):
    """The gates of the public contract (section 4 of docs/spec/rest.md)."""

    ADMIN = "admin"
    PLATFORM = "platform"
    WORKSPACE = "workspace"
    OWN = "own"
    ANY = "any"
    DISCOVERY = "discovery"
    REGISTER = "register"
    BODY = "body"
    A2A = "a2a"
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationRequest:
    """What a request asks of a gate.

    `workspace_id` is the workspace that the request is about, `claimed_workspace_id` the one that the caller says it
    is. `scope` is what an organisation token needs, at gates that leave this to the route.
    """

    gate: Gate
    scope: Scope | None = None
    workspace_id: WorkspaceId | None = None
    claimed_workspace_id: WorkspaceId | None = None


class AccessMode(Enum):
    """Whether gates may admit requests without a bearer."""

    OPEN = "open"
    """Development without ADMIN_TOKEN."""
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Anonymous:
    """A request without a bearer; as a grant, an anonymous caller."""


@dataclass(frozen=True, slots=True)
class UnknownBearer:
    """A bearer that matches no live token or session."""


@dataclass(frozen=True, slots=True)
class AdminBearer:
    """ADMIN_TOKEN, or a browser session that was opened with it."""

    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceBearer:
    """A live workspace token."""

    token_id: TokenId
    workspace_id: WorkspaceId
    generation: int | None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgBearer:
    """A live organisation token, or a browser session that was opened with it."""

    token_id: TokenId
    org_id: str
    scopes: frozenset[Scope]
    expires_at: datetime | None = None


Bearer = Anonymous | UnknownBearer | AdminBearer | WorkspaceBearer | OrgBearer
"""What the credentials of a request were recognised as."""

Grant = Anonymous | AdminBearer | WorkspaceBearer | OrgBearer
"""The identity under which a gate admits a request."""


class CredentialState(Enum):
    """What auth knows about the workspace of a request, as far as the body gates depend on it."""

    UNKNOWN = auto()
    BARRED = auto()
    NO_LIVE_TOKEN = auto()
    HAS_LIVE_TOKEN = auto()
