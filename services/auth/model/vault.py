"""Secrets: their metadata, their sealed and opened forms, and their changes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from services.auth.model.placements import WorkspaceId


@dataclass(frozen=True, slots=True, kw_only=True)
class SealingKeyId:
    """Identifies a sealing key: its version from the settings, and a fingerprint, because versions can be reused."""

    version: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretMetadata:
    """A secret without its value. It is global if it has no workspace."""

    key: str
    workspace_id: WorkspaceId | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedSecret:
    """A secret as it is stored. It is global if it has no workspace."""

    row_id: int
    key: str
    workspace_id: WorkspaceId | None
    sealed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentSecrets:
    """The secrets that apply to a workspace by key: global ones that it does not override, and its own."""

    global_secrets: Mapping[str, str] = field(repr=False)
    workspace_secrets: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretValues:
    """The secrets of a workspace by key; or no value at all, and the secrets that cannot be opened."""

    values: Mapping[str, str] = field(repr=False)
    failed_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretChange:
    """A secret was set or erased. A global secret does not apply to the workspaces that override it."""

    id: int
    key: str
    workspace_id: WorkspaceId | None
    overridden_by: tuple[WorkspaceId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResealResult:
    """How many secrets were resealed, how many remain, and the version of the key that seals now."""

    resealed: int
    remaining: int
    key_version: str
