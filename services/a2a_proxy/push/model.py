"""The types of the relay: where notifications of a task go, and the notifications that wait."""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto

from molecule_a2a.model import Dialect
from services.a2a_proxy.model import JsonObject, WorkspaceId


@dataclass(frozen=True, slots=True, kw_only=True)
class PushTarget:
    """Where the notifications of a task go. `digest` is that of the secret in the address that the agent knows."""

    digest: bytes
    target_id: WorkspaceId
    """The workspace whose agent sends the notifications."""
    owner_id: WorkspaceId | None
    """The workspace that wants them; `None` for any other caller."""
    owner_token_id: str | None = None
    """The token of an organisation that wants them; without either it is the operator."""
    task_id: str | None
    """`None` until the agent has named the task."""
    config_id: str | None
    dialect: Dialect
    """The dialect in which the receiver reads notifications."""
    sealed: bytes = field(repr=False)
    """The config as its caller wrote it, encrypted."""

    @property
    def owner(self) -> str:
        """The caller that wants the notifications, as one text; empty for the operator."""
        return self.owner_id or self.owner_token_id or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewNotification:
    """A notification of an agent, in the form in which its receiver reads it."""

    digest: bytes
    key: bytes = field(repr=False)
    """Opens the config of the target."""
    task_id: str
    body: bytes
    """Empty if only the task itself can be sent."""
    reads_task: bool
    """The task is read from the agent and sent in place of the body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedNotification:
    """The oldest notification of a target, leased for one attempt to send it."""

    seq: int
    target: PushTarget
    key: bytes = field(repr=False)
    body: bytes
    reads_task: bool
    failures: int
    """Attempts that failed."""
    age: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingLimits:
    """How many notifications may wait: for one target, and for those of one workspace, with their bytes."""

    per_target: int = 100
    per_workspace: int = 2000
    bytes_per_workspace: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class BusyOwners:
    """The owners of whose notifications no further one may be sent now."""

    all: tuple[str, ...] = ()
    """Those that use their whole share."""
    failing: tuple[str, ...] = ()
    """Those that use their share for receivers that did not answer before."""
    has_room_for_failing: bool = True
    """Whether any of these receivers may be tried now."""


@dataclass(frozen=True, slots=True)
class CallerConfig:
    """The address and the credentials of a config as its caller wrote them, and the id that the caller gave it."""

    members: JsonObject = field(repr=False)
    id: str | None


@dataclass(frozen=True, slots=True)
class ConfigReference:
    """The task and the config that a request names."""

    task_id: str | None
    config_id: str | None


@dataclass(frozen=True, slots=True)
class RewrittenRequest:
    """A request for the agent, and the configs of its caller that it holds no longer, in the order of the secrets."""

    request: JsonObject
    configs: tuple[CallerConfig, ...]


class Verdict(Enum):
    """What becomes of a notification after an attempt to send it."""

    DELIVERED = auto()
    RETRIED = auto()
    DROPPED = auto()
