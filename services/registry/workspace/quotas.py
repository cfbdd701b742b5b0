"""How many workspaces there may be, and how many of them may have a running instance. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from services.registry.errors.workspaces import TooManyRunning, TooManyWorkspaces
from services.registry.workspace.model import NO_BACKEND, Status, Workspace, WorkspaceId

COUNTED_STATUSES = frozenset(
    {Status.PROVISIONING, Status.ONLINE, Status.DEGRADED, Status.OFFLINE, Status.HIBERNATING, Status.FAILED}
)
"""Statuses of a managed workspace that may have an instance, or gets one by itself.

The plane does not stop the instance of a failed workspace, which may still register. It starts it again when what
prevented the start is mended.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """The limits of one plane."""

    workspaces: int = 100_000
    workspaces_per_org: int = 20_000
    running: int = 100
    running_per_org: int = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """How many there are, or are added: in the whole plane, and in one organisation."""

    total: int
    in_org: int


def is_running(workspace: Workspace) -> bool:
    """Whether a workspace counts as running: its agent is managed, and the plane does not keep it stopped."""
    return not workspace.external and workspace.backend != NO_BACKEND and workspace.status in COUNTED_STATUSES


def count_by_org(workspaces: Sequence[Workspace]) -> dict[WorkspaceId, Usage]:
    """Return how many workspaces there are, and how many of them each organisation has."""
    counts = Counter(workspace.org_id for workspace in workspaces)
    return {org_id: Usage(total=len(workspaces), in_org=count) for org_id, count in counts.items()}


def check_workspaces(quotas: Quotas, usage: Usage, *, added: Usage) -> None:
    """Raise `TooManyWorkspaces` if new workspaces, of which some are of one organisation, exceed a limit."""
    if usage.in_org + added.in_org > quotas.workspaces_per_org:
        raise TooManyWorkspaces.in_organisation(quotas.workspaces_per_org)
    if usage.total + added.total > quotas.workspaces:
        raise TooManyWorkspaces.in_plane(quotas.workspaces)


def check_running(quotas: Quotas, usage: Usage, *, added: Usage) -> None:
    """Raise `TooManyRunning` if the start of instances, of which some are of one organisation, exceeds a limit."""
    if usage.in_org + added.in_org > quotas.running_per_org:
        raise TooManyRunning.in_organisation(quotas.running_per_org)
    if usage.total + added.total > quotas.running:
        raise TooManyRunning.in_plane(quotas.running)
