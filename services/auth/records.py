"""Tokens and sessions as they are kept, listed and handed out."""

from dataclasses import dataclass, field
from datetime import datetime

from services.auth.model import Digest, Scope, TokenId


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceTokenRecord:
    """What is kept of a live workspace token."""

    token_id: TokenId
    digest: Digest = field(repr=False)
    prefix: str
    generation: int | None
    note: str
    created_at: datetime
    last_used_at: datetime | None = None
    expires_at: datetime | None = None
    rotated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgTokenRecord:
    """What is kept of a live organisation token."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class MintedToken:
    """A fresh workspace token; with a rotation, when the one before it ends."""

    record: WorkspaceTokenRecord
    text: str = field(repr=False)
    previous_expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgTokenRequest:
    """The organisation token that somebody asks for; without an organisation, for their own."""

    org_id: str
    name: str = ""
    scopes: frozenset[Scope]
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MintedOrgToken:
    """A fresh organisation token; with a rotation, when the one before it ends."""

    record: OrgTokenRecord
    text: str = field(repr=False)
    previous_expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AdminSession:
    """A browser session that was opened with the ADMIN_TOKEN that `mark` tells."""

    mark: bytes = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class NewSession:
    """A browser session just opened. The text exists here and in the one answer that tells it."""

    text: str = field(repr=False)
    expires_at: datetime
