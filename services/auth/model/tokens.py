"""Tokens of workspaces and organisations, and browser sessions: as stored, listed and issued."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NewType

TokenId = NewType("TokenId", str)
Digest = NewType("Digest", bytes)


class Scope(StrEnum):
    """What an organisation token permits."""

    READ = "read"
    WRITE = "write"
    A2A = "a2a"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """A token just generated. Its text is never stored."""

    text: str = field(repr=False)
    digest: Digest
    prefix: str


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token that was added to the database, and its text."""

    token_id: TokenId
    text: str = field(repr=False)


class RegistrationAuth(StrEnum):
    """How a registering workspace authenticated. Audit records contain these values."""

    AUTHENTICATED = "keyed"
    ANONYMOUS = "empty-handed"
    """Without a bearer, in open development."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a registering workspace receives: a token if it had none, and its inbound secret if that can be opened."""

    token: IssuedToken | None
    inbound_secret: str | None = field(repr=False)
    agent_credential_keys: tuple[str, ...] = ()
    """The names of the secrets of the workspace with which the plane proves itself to its agent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceTokenRecord:
    """What is stored about a live workspace token."""

    token_id: TokenId
    digest: Digest = field(repr=False)
    prefix: str
    generation: int | None
    note: str
    created_at: datetime
    last_used_at: datetime | None = None
    expires_at: datetime | None = None
    rotated_at: datetime | None = None
    parent_token_id: TokenId | None = None
    """The token that minted this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgTokenRecord:
    """What is stored about a live organisation token."""

    token_id: TokenId
    org_id: str
    digest: Digest = field(repr=False)
    prefix: str
    scopes: frozenset[Scope]
    name: str
    created_by: str
    created_at: datetime
    last_used_at: datetime | None = None
    expires_at: datetime | None = None
    rotated_at: datetime | None = None
    parent_token_id: TokenId | None = None
    """The token that minted this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Minter:
    """The caller that mints a token, and the bounds of what it may mint.

    `token_id` is the caller's token, the parent of what it mints; `None` for the operator and for anonymous callers,
    who are bound by nothing.
    """

    name: str
    token_id: TokenId | None = None
    scopes: frozenset[Scope] = frozenset(Scope)
    expires_at: datetime | None = None
    generation: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBounds:
    """The parent of a new token, and the expiry and generation that it gets."""

    parent_token_id: TokenId | None
    expires_at: datetime | None
    generation: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MintedToken:
    """A new workspace token; after a rotation also the time at which the previous token expires."""

    record: WorkspaceTokenRecord
    text: str = field(repr=False)
    previous_expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgTokenRequest:
    """A request for an organisation token; an empty `org_id` means the caller's organisation."""

    org_id: str
    name: str = ""
    scopes: frozenset[Scope]
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MintedOrgToken:
    """A new organisation token; after a rotation also the time at which the previous token expires."""

    record: OrgTokenRecord
    text: str = field(repr=False)
    previous_expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AdminSession:
    """A browser session that was opened with ADMIN_TOKEN; `mac` binds it to that value of ADMIN_TOKEN."""

    mac: bytes = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class NewSession:
    """A browser session just opened. Its text is never stored."""

    text: str = field(repr=False)
    expires_at: datetime
