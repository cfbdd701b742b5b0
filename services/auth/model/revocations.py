"""Revocations, and the messages of the revocation feed."""

from dataclasses import dataclass

from services.auth.model.feeds import Keepalive
from services.auth.model.placements import WorkspaceId
from services.auth.model.tokens import Digest


@dataclass(frozen=True, slots=True)
class RevokedWorkspace:
    """Everything that readers cached about this workspace is invalid."""

    workspace_id: WorkspaceId


@dataclass(frozen=True, slots=True)
class RevokedToken:
    """Everything that readers cached for the bearer with this digest is invalid."""

    digest: Digest


RevocationTarget = RevokedWorkspace | RevokedToken
"""What a revocation invalidates."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """One revocation and its revision in the feed."""

    revision: int
    target: RevocationTarget


@dataclass(frozen=True, slots=True)
class RevokedAll:
    """The reader missed more revocations than are kept, so everything it cached is invalid."""

    revision: int


RevocationUpdate = Revocation | RevokedAll | Keepalive
"""A message of the revocation feed."""
