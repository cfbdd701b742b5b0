"""The types of recorded streams: what begins one, what is stored of it, and how it ends."""

from dataclasses import dataclass
from enum import StrEnum

from molecule_a2a.model import Dialect
from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.tasks.model import TaskOwner


class Ending(StrEnum):
    """How a recording ended."""

    COMPLETED = "completed"
    """The agent ended the stream or its task, or the plane ended it with the failure of its task."""

    INTERRUPTED = "interrupted"
    """The stream broke off, or the proxy that read it did."""

    INCOMPLETE = "incomplete"
    """Events were passed on that are not stored."""


@dataclass(frozen=True, slots=True)
class EventId:
    """The position of an event: its stream, and its number there, from 1."""

    stream_id: str
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRecording:
    """A stream of which the first event is to be stored."""

    id: str
    target_id: WorkspaceId
    owner: TaskOwner
    dialect: Dialect
    request_id: bytes
    """The JSON id of the request that the stream answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedStream:
    """What is stored of a recording besides its events."""

    id: str
    target_id: WorkspaceId
    owner: TaskOwner
    dialect: Dialect
    request_id: bytes
    first_seq: int
    """The first event that is kept."""
    last_seq: int
    ending: Ending | None
    """`None` while the stream goes on."""


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event as its caller receives it."""

    seq: int
    frame: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EventWrite:
    """Events of one stream to store; `begins` is set with the first ones, and `task_id` once the task is known."""

    stream_id: str
    events: tuple[RecordedEvent, ...]
    begins: NewRecording | None = None
    task_id: str | None = None

    @property
    def size(self) -> int:
        """The bytes of the events."""
        return sum(len(event.frame) for event in self.events)
