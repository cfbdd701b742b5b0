"""What auth knows: bearers, gates, scopes, tokens, placements, revocations."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from typing import NewType

WorkspaceId = NewType("WorkspaceId", str)
TokenId = NewType("TokenId", str)
Digest = NewType("Digest", bytes)


class Gate(StrEnum):
    """The gates of the public contract."""

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


class Scope(StrEnum):
    """What an organisation token is good for."""

    READ = "read"
    WRITE = "write"
    A2A = "a2a"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationRequest:
    """Someone before a gate: which one, about which workspace, and which workspace they say they are.

    `scope` is what an organisation token needs here, where the gate leaves that open.
    """

    gate: Gate
    scope: Scope | None = None
    workspace_id: WorkspaceId | None = None
    claimed_workspace_id: WorkspaceId | None = None


class AccessMode(Enum):
    """Whether a request without a bearer may pass anywhere at all."""

    OPEN = "open"
    """Development without an ADMIN_TOKEN."""
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Anonymous:
    """No bearer was presented; granted, an anonymous caller."""


@dataclass(frozen=True, slots=True)
class UnknownBearer:
    """A bearer that is nobody's, or not any more."""


@dataclass(frozen=True, slots=True)
class AdminBearer:
    """The bearer of ADMIN_TOKEN, or of a browser session that was opened with it."""

    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceBearer:
    """The bearer of a live workspace token."""

    token_id: TokenId
    workspace_id: WorkspaceId
    generation: int | None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgBearer:
    """The bearer of a live organisation token, or of a browser session that was opened with it."""

    token_id: TokenId
    org_id: str
    scopes: frozenset[Scope]
    expires_at: datetime | None = None


Bearer = Anonymous | UnknownBearer | AdminBearer | WorkspaceBearer | OrgBearer
"""What a bearer turned out to be."""

Grant = Anonymous | AdminBearer | WorkspaceBearer | OrgBearer
"""As whom a gate lets a bearer pass."""


class CredentialState(StrEnum):
    """What auth knows of the workspace that a request is about."""

    UNKNOWN = "unknown"
    BARRED = "barred"
    NO_LIVE_TOKEN = "no live token"
    """Known, with no live token."""
    HAS_LIVE_TOKEN = "live token"
    """Known, with a live token."""


class RegistrationAuth(StrEnum):
    """How a registering workspace came."""

    WITH_TOKEN = "keyed"
    """With a live token."""
    ANONYMOUS = "empty-handed"
    """Without a bearer, in open development."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """A token just minted. The text exists here and in the one answer that tells it."""

    text: str = field(repr=False)
    digest: Digest
    prefix: str


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token that is in force from now on, and its text."""

    token_id: TokenId
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OrgMembership:
    """A workspace and the organisation it belongs to."""

    workspace_id: WorkspaceId
    org_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What auth keeps of a workspace."""

    workspace_id: WorkspaceId
    org_id: str
    lowest_generation: int
    barred_at: datetime | None
    sealed_inbound_secret: str | None


@dataclass(frozen=True, slots=True)
class InboundSecret:
    """The secret that the plane presents to a workspace, and whether it had to be made just now."""

    text: str = field(repr=False)
    healed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SealingKeyId:
    """Which key seals: its version, as settings give it, and an id that no other key with that version has."""

    version: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretMetadata:
    """What may be told of a secret. It is global where it has no workspace."""

    key: str
    workspace_id: WorkspaceId | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedSecret:
    """A secret as it is kept. It is global where it has no workspace."""

    row: int
    key: str
    workspace_id: WorkspaceId | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentSecrets:
    """The secrets that apply to a workspace: the global ones that it does not override, and its own."""

    global_secrets: Mapping[str, str] = field(repr=False)
    workspace_secrets: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretValues:
    """The secrets of a workspace by key; or none of them, and which could not be opened."""

    values: Mapping[str, str] = field(repr=False)
    failed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretChange:
    """A secret was set or erased. A global one does not reach the workspaces that override it."""

    id: int
    key: str
    workspace_id: WorkspaceId | None
    overridden_by: tuple[WorkspaceId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResealResult:
    """How many secrets were sealed anew, how many are left, and with which version they are sealed now."""

    resealed: int
    remaining: int
    key_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a registering workspace takes home: a token if it had none, and its inbound secret if that can be told."""

    token: IssuedToken | None
    inbound_secret: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class RevokedWorkspace:
    """Everything remembered about this workspace is void."""

    workspace_id: WorkspaceId


@dataclass(frozen=True, slots=True)
class RevokedToken:
    """Everything remembered for the bearer with this digest is void."""

    digest: Digest


RevocationTarget = RevokedWorkspace | RevokedToken
"""What a revocation voids."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """One revocation and its place in the feed."""

    revision: int
    scope: RevocationTarget


@dataclass(frozen=True, slots=True)
class RevokedAll:
    """More was revoked than can be told one by one."""

    revision: int


@dataclass(frozen=True, slots=True)
class Keepalive:
    """Nothing happened; the feed has reached this revision."""

    revision: int


RevocationUpdate = Revocation | RevokedAll | Keepalive
"""What a watcher of the feed is told."""
