"""Placements: which workspaces auth knows, and the organisation of each."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NewType

WorkspaceId = NewType("WorkspaceId", str)


@dataclass(frozen=True, slots=True)
class OrgMembership:
    """A workspace and the organisation it belongs to."""

    workspace_id: WorkspaceId
    org_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What auth stores about a workspace."""

    workspace_id: WorkspaceId
    org_id: str
    lowest_generation: int
    barred_at: datetime | None
    sealed_inbound_secret: str | None


@dataclass(frozen=True, slots=True)
class InboundSecret:
    """The secret that the plane presents to a workspace; `healed` is true if this call created it."""

    text: str = field(repr=False)
    healed: bool
