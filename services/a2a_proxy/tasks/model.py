"""The types of tasks: who owns one, what the register knows of it, what a list asks for, and who follows one."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from molecule_a2a.model import Dialect
from services.a2a_proxy.model import WorkspaceId


@dataclass(frozen=True, slots=True)
class TaskOwner:
    """A caller that made tasks: a workspace, a token of an organisation, or else the operator of the whole plane.

    An organisation without a token is the view of a token that acts for the whole organisation.
    """

    workspace_id: WorkspaceId | None = None
    org_id: str | None = None
    token_id: str | None = None


OPERATOR = TaskOwner()
"""The operator of the whole plane: `ADMIN_TOKEN`, its browser sessions, and open development are one caller."""

ContextKey: TypeAlias = tuple[WorkspaceId, str]
"""A workspace and a context of its agent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownTask:
    """What the register knows of a task: its owner, and the queued message that the agent answered with it."""

    owner: TaskOwner
    queue_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """A task that an agent answered with, for the register."""

    target_id: WorkspaceId
    task_id: str
    owner: TaskOwner
    context_id: str | None = None
    queue_id: str | None = None


@dataclass(frozen=True, slots=True)
class ListPosition:
    """Where a page of a list ends: at the message with this number, which came into its state at this time."""

    changed_at: datetime
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskListQuery:
    """Which tasks of a workspace to list, those first that changed last, from after a position."""

    context_id: str | None = None
    state: str | None = None
    """As A2A 0.3 writes it."""
    changed_after: datetime | None = None
    page_size: int = 50
    before: ListPosition | None = None
    history_length: int | None = None
    has_artifacts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A caller that follows a queued message as a task, and the request that the stream answers."""

    target_id: WorkspaceId
    queue_id: str
    task_id: str
    request_id: bytes
    """The JSON id of the request."""
    dialect: Dialect
    """In which the caller reads the events."""
